"""Run every benchmark and write benchmarks/RESULTS.md; `make bench` does.

Each script beside this one prints JSON lines {"name", "value", "unit", "target", "ok", "n",
"details"}. "ok" is true, false (the target was missed) or "skipped" (also null): it could not be
run here, and "details" says why. A missed target is reported and is no failure; a script that
breaks is one.

    python benchmarks/run_all.py [NAME ...]     all, or the named ones only
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
        if line.startswith("{"):
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


def report(rows: list[dict], broken: dict[str, str], when: str) -> str:
    """The Markdown of RESULTS.md."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {when}: {machine()}.",
        "",
        "Both sides of a comparison ran here, in the same run. A missed target is shown as such;",
        "what needs a GPU or a network that is not here is skipped, which is not the same as met.",
        "",
        "| what | value | target | | n |",
        "| --- | ---: | ---: | --- | ---: |",
    ]
    for row in rows:
        value = "" if row["value"] is None else f"{row['value']:g} {row['unit']}"
        cells = (row["name"], value, row["target"], STATUS[row["ok"]], row["n"])
        lines.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    lines += [f"| {name} | | | **broke** | |" for name in broken]
    lines += ["", "## Details", ""]
    for row in rows:
        details = row["details"]
        text = details if isinstance(details, str) else json.dumps(details, ensure_ascii=False)
        lines.append(f"- {row['name']}: {text}")
    lines += [f"- {name}: {why}" for name, why in broken.items()]
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> int:
    """Run the scripts; 1 if one of them broke."""
    own = Path(__file__).name
    scripts = [path for path in sorted(FOLDER.glob("*.py")) if path.name != own]
    if names:
        scripts = [path for path in scripts if path.stem in names]
    rows: list[dict] = []
    broken: dict[str, str] = {}
    for script in scripts:
        found, why = run(script)
        rows += found
        if why:
            broken[script.stem] = why
        for row in found:
            print(f"  {STATUS[row['ok']].strip('*'):8} {row['name']}: {row['value']} {row['unit']}")
    text = report(rows, broken, time.strftime("%Y-%m-%d"))
    if names:
        print(text)
    else:
        (FOLDER / "RESULTS.md").write_text(text, encoding="utf-8")
    for name, why in broken.items():
        print(f"{name} broke: {why}", file=sys.stderr)
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
