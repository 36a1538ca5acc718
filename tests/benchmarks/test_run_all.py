import importlib.util
import json
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location(
    "run_all", Path(__file__).parents[2] / "benchmarks/run_all.py"
)
run_all = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run_all)


def row(name="fast", ok=True, value=1.5, details="how"):
    return dict(zip(run_all.KEYS, (name, value, "s", "< 2", ok, 3, details), strict=True))


def write(folder, name, body):
    file = folder / f"{name}.py"
    file.write_text(body)
    return file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(run_all, "FOLDER", tmp_path)
    return tmp_path


def test_results_are_collected_and_a_missed_target_is_no_failure(folder):
    write(folder, "good", f"print('starting'); print({json.dumps(row())!r})")
    write(folder, "slow", f"print({json.dumps(row('slow one', False, 9))!r})")
    skipped = row("gpu", None, None, {"skipped": "no GPU"})
    write(folder, "gpu", f"print({json.dumps(skipped)!r})")
    assert run_all.main([]) == 0
    text = (folder / "RESULTS.md").read_text()
    assert "| fast | 1.5 s | < 2 | met | 3 | 20" in text
    assert "| slow one | 9 s | < 2 | **missed** | 3 | 20" in text
    assert "| gpu |  | < 2 | skipped | 3 | 20" in text
    assert "no GPU" in text


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("print('nothing measured')", "printed no result"),
        ('print(\'{"name": "x"}\')', "not a result"),
    ],
)
def test_a_broken_script_is_a_failure_and_the_others_still_count(folder, body, why):
    write(folder, "bad", body)
    write(folder, "good", f"print({json.dumps(row())!r})")
    assert run_all.main([]) == 1
    text = (folder / "RESULTS.md").read_text()
    assert why in text and "| bad | | | **broke** | | 20" in text and "| fast |" in text


def test_one_script_alone_leaves_what_the_others_found(folder):
    write(folder, "good", f"print({json.dumps(row())!r})")
    write(folder, "late", f"print({json.dumps(row('late', value=7))!r})")
    write(folder, "never", "raise SystemExit(1)")
    assert run_all.main(["good", "late"]) == 0
    write(folder, "late", f"print({json.dumps(row('late', value=8))!r})")
    assert run_all.main(["late"]) == 0
    text = (folder / "RESULTS.md").read_text()
    assert "| fast | 1.5 s" in text and "| late | 8 s" in text and "7 s" not in text
    assert "| never | | | not run yet | | |" in text
    (folder / "good.py").unlink()
    run_all.main(["late"])
    assert "fast" not in (folder / "RESULTS.md").read_text()


def test_a_script_that_hangs_is_ended(folder):
    rows, why = run_all.run(write(folder, "hang", "import time; time.sleep(60)"), timeout_s=1)
    assert rows == [] and "did not end within 1 s" in why


def test_the_machine_is_described_without_its_name():
    import platform

    assert "cores" in run_all.machine()
    assert platform.node() not in run_all.machine()
