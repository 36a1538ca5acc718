"""Parquet is unfolded behind a wall: what floods is refused, and this process stays small."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imitation.reading import parquet
from imitation.reading.parquet import Unreadable, rows_of

LIMIT = 64_000_000
ROOT = Path(__file__).parents[2]


def refers(path, times, size):
    """One value that many rows refer to: some hundred bytes."""
    once = pa.DictionaryArray.from_arrays(pa.array([0] * times), pa.array(["x" * size]))
    pq.write_table(pa.table({"prompt": once}), path, compression="zstd")
    return path


def test_rows_come_as_they_are(tmp_path):
    talks = [
        {"messages": [{"role": "user", "content": f"q{n}\u2028é"}], "n": n} for n in range(1200)
    ]
    pq.write_table(pa.Table.from_pylist(talks), tmp_path / "a.parquet", row_group_size=500)
    assert list(rows_of(tmp_path / "a.parquet", LIMIT)) == talks
    begun = rows_of(tmp_path / "a.parquet", LIMIT)
    next(begun)
    begun.close()  # its process ends with it


MEASURED = """
import resource, sys
from pathlib import Path
from imitation.reading.parquet import Unreadable, rows_of
seen = 0
try:
    for row in rows_of(Path(sys.argv[1]), 64_000_000):
        seen += len(row["prompt"])
except Unreadable as error:
    print(error, end="|")
mine = next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line)
print(seen, mine, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, sep="|")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("times", "size"), [(300, 1_000_000), (5, 60_000_000)])
def test_a_value_many_rows_refer_to_is_left_early_in_little_memory(tmp_path, times, size):
    path = refers(tmp_path / "a.parquet", times, size)
    assert path.stat().st_size < 4000
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, cwd=ROOT
    )
    said, seen, asks, unfolds = done.stdout.split("|")
    assert "unfolds to over 64 MB" in said
    assert int(seen) <= LIMIT
    assert int(asks) < 350_000 and int(unfolds) < 900_000, "kilobytes"


def test_memory_and_time_are_walls(tmp_path, monkeypatch):
    path = refers(tmp_path / "a.parquet", 3, 60_000_000)
    with pytest.raises(Unreadable, match="more than 100 MB of memory"):
        list(rows_of(path, 10 * LIMIT, memory=100_000_000))
    monkeypatch.setattr(parquet, "SECONDS", 1)
    nothing = pa.table({"a": pa.nulls(3_000_000, pa.int8())})
    pq.write_table(nothing, tmp_path / "b.parquet")
    with pytest.raises(Unreadable, match="more than 1 s of computing"):
        for _ in rows_of(tmp_path / "b.parquet", 1 << 40):
            pass


def test_what_is_broken_is_said(tmp_path):
    refers(tmp_path / "a.parquet", 3, 10)
    whole = (tmp_path / "a.parquet").read_bytes()
    for data in (b"PAR1", b"PAR1" + b"x" * 100, whole[:-20], whole[:20] + b"?" * 40 + whole[60:]):
        (tmp_path / "b.parquet").write_bytes(data)
        with pytest.raises(Unreadable):
            list(rows_of(tmp_path / "b.parquet", LIMIT))
