"""Make the shipped example run again: four pocket models on the suite's held-out facts.

    python deploy/example.py

Runs the evaluation (about ten minutes on 2 cores) and keeps of it what the pages read: what was
asked, the report, and the index of the samples, with a command that fits any machine.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

NAME = "pocket-ask"
ARGUMENTS = (
    "-m", "imitation.jobs.commands.evaluate",
    "--models", "pocket-base", "pocket-local", "pocket-broad", "pocket-reference",
    "--tasks", "pocket_ask",
)  # fmt: skip


def main(folder: Path) -> None:
    """Run it in a folder, going on with what is there, and put the result in its place."""
    from dashboards.shell.queries import EXAMPLE
    from imitation.evaluation.report.schema import REPORT, RUN, SAMPLES

    out = folder / NAME
    subprocess.run([sys.executable, *ARGUMENTS, "--out", str(out)], cwd=ROOT, check=True)
    EXAMPLE.mkdir(exist_ok=True)
    shutil.copyfile(out / SAMPLES, EXAMPLE / SAMPLES)
    for name in (RUN, REPORT):
        table = json.loads((out / name).read_text("utf-8"))
        run = table if name == RUN else table["run"]
        run["argv"] = ["python", *ARGUMENTS, "--out", f"runs/{NAME}"]
        text = json.dumps(table, indent=1, ensure_ascii=False) + "\n"
        (EXAMPLE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1] if sys.argv[1:] else scratch))
