"""Style metrics and bootstrap intervals: how long they take; two JSON lines."""

import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from imitation.evaluation.metrics.style import compare
from imitation.evaluation.statistics.bootstrap import (
    bootstrap_correlation,
    bootstrap_mean,
    bootstrap_paired,
)

PAIRS, ITEMS, RESAMPLES = 10_000, 1_000, 10_000
WORDS = 200


def main() -> None:
    rng = random.Random(0)
    vocabulary = [f"word{n}" for n in range(5_000)]
    answers = [_answer(rng, vocabulary) for _ in range(2 * PAIRS)]
    started = time.perf_counter()
    for first, second in zip(answers[:PAIRS], answers[PAIRS:], strict=True):
        compare(first, second)
    took = time.perf_counter() - started
    details = f"{PAIRS:,} pairs of answers of about {WORDS} words, all metrics"
    _print("style metrics", took, 10, PAIRS, details)

    x, y = np.random.default_rng(0).random((2, ITEMS))
    slowest = 0.0
    for interval in (
        lambda: bootstrap_mean(x, resamples=RESAMPLES),
        lambda: bootstrap_paired(x, y, resamples=RESAMPLES),
        lambda: bootstrap_correlation(x, y, resamples=RESAMPLES),
    ):
        started = time.perf_counter()
        interval()
        slowest = max(slowest, time.perf_counter() - started)
    details = (
        f"{RESAMPLES:,} resamples of {ITEMS:,} items, the slowest of mean, paired, correlation"
    )
    _print("bootstrap interval", slowest, 1, ITEMS, details)


def _answer(rng: random.Random, vocabulary: list[str]) -> str:
    """Words of a long-tailed distribution, as a list or in paragraphs, some with a summary."""
    words = [vocabulary[int(len(vocabulary) * rng.random() ** 3)] for _ in range(WORDS)]
    joint = rng.choice(["\n1. ", "\n- ", "\n\n", ". "])
    text = joint.join(" ".join(words[at : at + 20]) for at in range(0, WORDS, 20))
    return text + rng.choice(["", "\n\nOverall, that is it."])


def _print(name: str, seconds: float, target: float, n: int, details: str) -> None:
    row = {
        "name": name,
        "value": round(seconds, 3),
        "unit": "s",
        "target": f"< {target}",
        "ok": seconds < target,
        "n": n,
        "details": details,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
