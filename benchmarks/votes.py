"""Bradley-Terry with intervals on many votes, with and without style control.

    python benchmarks/votes.py

30 models of known strength, 100,000 votes; prints JSON lines, also how well the scores are found.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from imitation.evaluation.judging.bradley_terry import SCALE, Ratings, rate
from imitation.evaluation.judging.preferences import Decision
from imitation.values import Pair

VOTES, MODELS = 100_000, 30
LENGTH_WORTH = 0.4
"""Log odds that a difference in length of 100% is worth in the simulation."""


def main() -> None:
    """Simulate, rate, print."""
    rng = np.random.default_rng(0)
    strength = rng.normal(0, 1, MODELS)
    strength -= strength.mean()
    votes = simulated(rng, strength)
    started = time.perf_counter()
    plain = rate(votes)
    took = time.perf_counter() - started
    details = f"{VOTES:,} votes, {MODELS} models; {covered(plain, strength)}"
    _print("Bradley-Terry", took, "< 20", took < 20, details)
    started = time.perf_counter()
    styled = rate(votes, styled=True)
    took = time.perf_counter() - started
    details = (
        f"the same votes, every one counted for itself, as no two differ alike in form; "
        f"{covered(styled, strength)}"
    )
    _print("Bradley-Terry with style control", took, "< 20", took < 20, details)


def simulated(rng: np.random.Generator, strength: np.ndarray) -> list[Decision]:
    """Votes by the model, pulled towards the longer answer."""
    one, two = np.array([rng.choice(MODELS, 2, replace=False) for _ in range(VOTES)]).T
    one, two = np.minimum(one, two), np.maximum(one, two)
    words = rng.integers(20, 300, (VOTES, 2))
    answers = {n: "word " * n for n in range(20, 300)}
    pull = (words[:, 0] - words[:, 1]) / words.sum(axis=1)
    chance = 1 / (1 + np.exp(-(strength[one] - strength[two] + LENGTH_WORTH * pull)))
    tied, first = rng.random(VOTES) < 0.15, rng.random(VOTES) < chance
    names = [f"model-{n:02}" for n in range(MODELS)]
    return [
        Decision(
            Pair(f"prompt {at}", (names[i], names[j]), (answers[a], answers[b])),
            "tie" if t else "first" if f else "second",
            1,
        )
        for at, (i, j, (a, b), t, f) in enumerate(zip(one, two, words, tied, first, strict=True))
    ]


def covered(found: Ratings, strength: np.ndarray) -> str:
    """How far the scores are from those simulated; ties pull them together, which is allowed for.

    A tie counts half for each, so scores are on a smaller scale than the strengths of decided
    votes; the correlation says whether the order and distances are right.
    """
    scores = np.array([r.score.value for r in sorted(found.models, key=lambda r: r.model)])
    r = np.corrcoef(scores, SCALE * strength)[0, 1]
    return f"correlation with the simulated strengths {r:.4f}"


def _print(name: str, value: float, target: str, ok: bool, details: str) -> None:
    row = {
        "name": name,
        "value": round(value, 2),
        "unit": "s",
        "target": target,
        "ok": ok,
        "n": VOTES,
        "details": details,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
