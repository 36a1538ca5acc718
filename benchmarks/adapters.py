"""A shipped adapter made again with its card's config and data, and scored on the same facts.

Prints one JSON line an adapter: the mean difference in accuracy, again minus shipped, over the
same held-out facts. The target is that its 95% paired bootstrap interval holds 0. Unless others
are named only the local adapter is made, which takes minutes.

    python benchmarks/adapters.py [pocket-local pocket-broad]
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from imitation.data.format import sha256_of  # noqa: E402
from imitation.evaluation.statistics.bootstrap import bootstrap_paired  # noqa: E402

ADAPTERS = ROOT / "imitation" / "models" / "adapters"


def remake(name: str) -> dict:
    card = json.loads((ADAPTERS / f"{name}.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        out, scores = Path(folder) / "run", Path(folder) / "facts.json"
        data = ROOT / "imitation" / "data" / "pocket" / card["data"]["files"][0]["file"]
        assert sha256_of(data) == card["data"]["files"][0]["sha256"], "the data was changed"
        python("training.finetune", "--preset", name, "--data", data, "--out", out)
        adapter = ["--adapter", out / "adapter.gguf", "--name", "again", "--out", scores]
        python("imitation.jobs.commands.score_facts", "--models", card["base"]["card"], *adapter)
        again = json.loads(scores.read_text("utf-8"))["models"][0]
        same = sha256_of(out / "adapter.gguf") == card["adapter"]["sha256"]
    facts = sorted(fact for fact, right in again["verdicts"].items() if right is not None)
    shipped = set(card["scores"]["facts"]["right"])
    difference = bootstrap_paired(
        [float(again["verdicts"][fact]) for fact in facts],
        [float(fact in shipped) for fact in facts],
    )
    return {
        "name": f"adapters: {name} made again, held-out accuracy against the shipped one",
        "value": difference.value,
        "unit": "difference in accuracy",
        "target": "95% paired interval holds 0",
        "ok": difference.low <= 0 <= difference.high,
        "n": difference.n,
        "details": {
            "interval": asdict(difference),
            "again": again["accuracy"],
            "shipped": card["scores"]["facts"]["accuracy"][name],
            "same_file": same,
        },
    }


def python(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def main() -> None:
    for name in sys.argv[1:] or ["pocket-local"]:
        print(json.dumps(remake(name)), flush=True)


if __name__ == "__main__":
    main()
