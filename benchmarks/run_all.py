"""Run benchmarks and write benchmarks/RESULTS.md; `make bench` runs them all.

What a script found last is kept in benchmarks/results/NAME.json with its date and machine, so one
can be run again without the others; RESULTS.md is written from all of them.

Each script beside this one prints JSON lines {"name", "value", "unit", "target", "ok", "n",
"details"}. "ok" is true, false (the target was missed) or "skipped" (also null): it could not be
run here, and "details" says why. A missed target is reported and is no failure; a script that
breaks is one.

    python benchmarks/run_all.py [NAME ...]     all, or only the named ones
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import psutil

FOLDER = Path(__file__).parent
KEYS = ("name", "value", "unit", "target", "ok", "n", "details")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd")
STATUS = {True: "met", False: "**missed**", None: "skipped", "skipped": "skipped"}


def machine() -> str:
    """What the numbers depend on, without naming the machine."""
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        known = set(cpuinfo.read_text().split())
        flags = ", " + " ".join(flag for flag in FLAGS if flag in known)
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{flags}, "
        f"{memory:.0f} GiB, Python {platform.python_version()}"
    )


def parse(output: str) -> list[dict]:
    """The result lines among whatever else a script printed.

    Raises:
        ValueError: A line that looks like a result has other keys.
    """
    rows = []
    for line in output.splitlines():
        # Libraries print of their own, dicts too; a result is told by its first key.
        if line.startswith('{"name"'):
            row = json.loads(line)
            if tuple(row) != KEYS or row["ok"] not in STATUS:
                raise ValueError(f"not a result: {line}")
            rows.append(row)
    return rows


def run(script: Path, timeout_s: float = 3600) -> tuple[list[dict], str]:
    """Results of one script and, where it broke, why."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, script],
            cwd=FOLDER.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout_s,
        )
        rows = parse(done.stdout)
    except subprocess.TimeoutExpired:
        return [], f"did not end within {timeout_s:.0f} s"
    except ValueError as error:
        return [], str(error)
    print(f"{script.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    if done.returncode:
        return rows, f"exit code {done.returncode}"
    return rows, "" if rows else "printed no result"


def report(kept: dict[str, dict], missing: list[str]) -> str:
    """The Markdown of RESULTS.md.

    Args:
        kept: Script -> what it found last: "when", "machine", "load", "rows" and "broke".
        missing: Scripts that were never run.
    """
    lines = [
        "# Benchmarks",
        "",
        "Written by `benchmarks/run_all.py`. Both sides of a comparison ran on one machine, in one",
        "run. A missed target is shown as such; what needs a GPU or a network that was not there",
        "is skipped, which is not the same as met.",
        "",
        "| what | value | target | | n | measured |",
        "| --- | ---: | ---: | --- | ---: | --- |",
    ]
    details = []
    for name, found in kept.items():
        for row in found["rows"]:
            value = "" if row["value"] is None else f"{row['value']:.4g} {row['unit']}"
            cells = (row["name"], value, row["target"], STATUS[row["ok"]], row["n"], found["when"])
            lines.append("| " + " | ".join("" if c is None else str(c) for c in cells) + " |")
        if found["broke"]:
            lines.append(f"| {name} | | | **broke** | | {found['when']} |")
        details += [
            "",
            f"### {name}",
            "",
            f"{found['machine']}; load {found['load']} at its start.",
        ]
        details += ["", *(f"- {row['name']}: {as_text(row['details'])}" for row in found["rows"])]
        if found["broke"]:
            details.append(f"- broke: {found['broke']}")
    lines += [f"| {name} | | | not run yet | | |" for name in missing]
    return "\n".join([*lines, "", "## Details", *details]) + "\n"


def as_text(details: object) -> str:
    """Details as they stand in RESULTS.md."""
    return details if isinstance(details, str) else json.dumps(details, ensure_ascii=False)


def main(names: list[str]) -> int:
    """Run the scripts and write RESULTS.md; 1 if one of them broke."""
    own = Path(__file__).name
    scripts = [path for path in sorted(FOLDER.glob("*.py")) if path.name != own]
    results = FOLDER / "results"
    results.mkdir(exist_ok=True)
    for gone in {p.stem for p in results.glob("*.json")} - {p.stem for p in scripts}:
        (results / f"{gone}.json").unlink()
    broke = False
    for script in scripts:
        if names and script.stem not in names:
            continue
        load = round(os.getloadavg()[0], 1)
        rows, why = run(script)
        broke |= bool(why)
        found = {
            "when": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "load": load,
            "broke": why,
            "rows": rows,
        }
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (results / f"{script.stem}.json").write_text(text + "\n", encoding="utf-8")
        for row in rows:
            print(f"  {STATUS[row['ok']].strip('*'):8} {row['name']}: {row['value']} {row['unit']}")
        if why:
            print(f"{script.stem} broke: {why}", file=sys.stderr)
    kept = {p.stem: json.loads(p.read_text("utf-8")) for p in sorted(results.glob("*.json"))}
    text = report(kept, [path.stem for path in scripts if path.stem not in kept])
    (FOLDER / "RESULTS.md").write_text(text, encoding="utf-8")
    return int(broke)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
