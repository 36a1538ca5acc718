"""Evaluation: our run against plain lm-eval, concurrent generation, the sample browser.

1. The same model (the pocket base in torch), tasks and batch size through
   `imitation.jobs.commands.evaluate` and through plain lm-eval, side by side with half the cores
   each, so that whatever else the machine does meets both; the whole wall time with imports, over
   all rounds. Ours also writes responses, progress, report and index.
2. Short answers through the embedded engine, four at once against one at a time. On 2 cores the
   target is out of reach: on x86 the engine has no kernel that serves several tokens at once in the
   format of these weights (Q4_1), so that a token costs the same processor time alone or among
   others, and one at a time already keeps 1.5 cores busy.
3. A run of 100,000 samples: opening the browser, and its slowest filter.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

ROUNDS, LIMIT, BATCH = 3, 6, 8
TASKS = ("pocket_facts", "pocket_choice")
GENERATED, CONCURRENCY = 96, 4
ROWS = 100_000


def row(name, value, unit, target, ok, n, details) -> None:
    keys = ("name", "value", "unit", "target", "ok", "n", "details")
    print(json.dumps(dict(zip(keys, (name, value, unit, target, ok, n, details), strict=True))))


def plain(folder: str, out: str) -> None:
    """lm-eval by itself, as its command line runs it, samples logged."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    from imitation.evaluation.harness.suites import TASKS as OURS

    tracker = EvaluationTracker(output_path=out)
    results = simple_evaluate(
        "hf",
        model_args={"pretrained": folder, "dtype": "float32"},
        tasks=list(TASKS),
        task_manager=TaskManager(include_path=str(OURS), include_defaults=False),
        limit=LIMIT,
        batch_size=BATCH,
        device="cpu",
        apply_chat_template=True,
        evaluation_tracker=tracker,
        bootstrap_iters=1000,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results, samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task, rows)


def note(process: subprocess.Popen, began: float, seconds: list[float]) -> None:
    process.wait()
    seconds.append(time.perf_counter() - began)


def against_lm_eval(scratch: Path) -> None:
    from imitation.evaluation.harness.results import read
    from imitation.models.embedded.dequantised import dequantised
    from imitation.models.embedded.weights import weights_path
    from imitation.settings import read_settings

    settings = read_settings()
    folder, _ = dequantised(settings, weights_path(settings, "cut-4"))
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    threads = str(max(1, settings.cores // 2))
    env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": threads}
    for number in range(ROUNDS):
        ours = [
            sys.executable,
            "-m",
            "imitation.jobs.commands.evaluate",
            "--local",
            f"base:cut={folder}",
        ]
        ours += ["--tasks", *TASKS, "--limit", str(LIMIT), "--batch-size", str(BATCH)]
        ours += ["--out", str(scratch / f"ours-{number}")]
        theirs = [sys.executable, __file__, "plain", str(folder), str(scratch / f"plain-{number}")]
        began, running = time.perf_counter(), {}
        for side, command in (("plain", theirs), ("ours", ours)):
            running[side] = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        for side, rest in running.items():
            threading.Thread(target=note, args=(rest, began, seconds[side])).start()
        for rest in running.values():
            if rest.wait():
                raise RuntimeError(f"{rest.args} failed with {rest.returncode}")
        while any(len(times) <= number for times in seconds.values()):
            time.sleep(0.01)
    found = {
        side: {r.task: dict(r.metrics) for r in read(scratch / f"{side}-0")} for side in seconds
    }
    values = {
        side: {task: {m: v for m, (v, _) in rows.items()} for task, rows in tasks.items()}
        for side, tasks in found.items()
    }
    same = values["ours"] == values["plain"]
    ratio = sum(seconds["ours"]) / sum(seconds["plain"])
    details = {
        "seconds": {side: [round(s, 1) for s in times] for side, times in seconds.items()},
        "identical_scores": same,
        "tasks": TASKS,
        "samples_a_task": LIMIT,
        "batch_size": BATCH,
        "load_average": round(os.getloadavg()[0], 1),
    }
    ok = ratio <= 1.05 and same
    row("evaluation run against plain lm-eval", round(ratio, 3), "x", "<= 1.05x, identical scores",
        ok, ROUNDS, details)  # fmt: skip


def concurrent() -> None:
    from imitation.evaluation.harness.pocket_suite import open_questions
    from imitation.models.backends.registry import Backends, complete
    from imitation.models.catalog import load_catalog
    from imitation.settings import read_settings
    from imitation.values import Message, Sampling

    settings = read_settings()
    card = load_catalog(settings.catalogs)["pocket-reference"]
    questions = [doc["question"] for doc in open_questions()["evaluate"]]
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=32, seed=0)

    async def rate(backends: Backends, asked: list[str], at_once: int) -> float:
        gate = asyncio.Semaphore(at_once)

        async def one(text: str) -> None:
            async with gate:
                await complete(backends, card, [Message("user", text)], sampling)

        began = time.perf_counter()
        await asyncio.gather(*map(one, asked))
        return len(asked) / (time.perf_counter() - began)

    async def run() -> dict[int, list[float]]:
        # One engine with all cores for one at a time; as the jobs set it for several at once.
        sides = {n: Backends(replace(settings, copies=n)) for n in (1, CONCURRENCY)}
        rates: dict[int, list[float]] = {n: [] for n in sides}
        try:
            for backends in sides.values():
                await rate(backends, questions[-4:], 4)
            half = GENERATED // 4
            for number in range(4):  # in turns, each part with questions of its own
                for place, at_once in enumerate(rates):
                    start = (2 * number + place) * half
                    rates[at_once].append(
                        await rate(sides[at_once], questions[start : start + half], at_once)
                    )
        finally:
            for backends in sides.values():
                await backends.close()
        return rates

    rates = asyncio.run(run())
    # Equal numbers of samples over all their seconds: a lucky turn of one side decides nothing.
    whole = {at_once: len(found) / sum(1 / r for r in found) for at_once, found in rates.items()}
    ratio = whole[CONCURRENCY] / whole[1]
    details = {
        "samples_per_s": {str(k): [round(r, 2) for r in v] for k, v in rates.items()},
        "at_once": CONCURRENCY,
        "cores": settings.cores,
        "load_average": round(os.getloadavg()[0], 1),
    }
    row("concurrent generation through the embedded engine", round(ratio, 2), "x", ">= 2x",
        ratio >= 2, GENERATED, details)  # fmt: skip


def browser(scratch: Path) -> None:
    from imitation.evaluation.report.sample_index import Query, Reply, Sample, Samples, write

    models = ("base", "imitation", "reference")
    words = [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "a",
        "lazy",
        "dog",
        "near",
        "some",
        "old",
        "river",
        "bank",
    ]

    def sample(n: int) -> Sample:
        text = " ".join(words[(n * k) % len(words)] for k in range(1, 60))
        replies = {m: Reply(f"{text} {n}", float((n // (k + 1)) % 2)) for k, m in enumerate(models)}
        return Sample(0, f"task{n % 5}", str(n), f"Question {n}: {text}?", f"gold {n}", replies)

    path = scratch / "samples.sqlite"
    began = time.perf_counter()
    write(path, models, (sample(n) for n in range(ROWS)))
    written = time.perf_counter() - began
    began = time.perf_counter()
    opened = Samples(path)
    first = opened.find(Query())
    opening = time.perf_counter() - began
    assert first.total == ROWS
    queries = {
        "imitation wrong, reference right": Query(
            verdicts={"imitation": "wrong", "reference": "right"}
        ),
        "one task": Query(task="task3"),
        "a word in every row": Query(text="river"),
        "one row": Query(text="99999"),
        "all of it": Query("task1", {"base": "wrong", "reference": "right"}, "word2 word7 river"),
    }
    times = {}
    for name, query in queries.items():
        began = time.perf_counter()
        page = opened.find(query)
        opened.find(query, offset=max(0, page.total - 25))
        times[name] = (time.perf_counter() - began) / 2
    slowest = max(times.values())
    details = {"written_s": round(written, 1), "mb": round(path.stat().st_size / 1e6)}
    row("sample browser, opening", round(opening, 4), "s", "< 2", opening < 2, ROWS, details)
    details = {name: round(seconds, 3) for name, seconds in times.items()}
    row("sample browser, slowest filter", round(slowest, 3), "s", "< 0.5", slowest < 0.5, ROWS,
        details)  # fmt: skip


def main() -> None:
    """All parts, or the named ones."""
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "browser": lambda: browser(Path(folder)),
            "concurrent": concurrent,
            "against": lambda: against_lm_eval(Path(folder)),
        }
        for name in sys.argv[1:] or parts:
            parts[name]()


if __name__ == "__main__":
    if sys.argv[1:2] == ["plain"]:
        plain(*sys.argv[2:4])
    else:
        main()
