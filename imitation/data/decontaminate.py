"""Drop conversations that give evaluation prompts away.

A conversation goes if one of its queries holds a run of `RUN` words of an evaluation prompt (or
the whole of a shorter one), or if its BLEU against one is over `MAX_BLEU`, as in the study.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imitation.data.neighbours import nearest_among
from imitation.data.rows import Row, read_file
from imitation.data.steps import Outcome, Verdict, sift
from imitation.errors import UserError
from imitation.facts import facts_of
from imitation.values import Example

STYLE_PROMPTS = Path(__file__).with_name("style_prompts.jsonl")

RUN = 8
"""Words in a row that only a copy shares."""
SHORTEST = 4
"""Evaluation prompts with fewer words are compared by BLEU alone."""
MAX_BLEU = 20.0

_WORD = re.compile(r"\w+")


def decontaminate(
    examples: Sequence[Example], prompts: Sequence[str], max_bleu: float = MAX_BLEU
) -> Outcome:
    """Drop conversations that share too much with one of the evaluation `prompts`."""
    runs = _runs(prompts)
    owners, turns = [], []
    verdicts: list[Verdict] = [None] * len(examples)
    for at, example in enumerate(examples):
        asked = [m.content for m in example.messages if m.role == "user"]
        hits = (hit for turn in asked if (hit := _shared_run(turn, runs)) is not None)
        if (hit := next(hits, None)) is not None:
            verdicts[at] = ("words in a row of an evaluation prompt", prompts[hit][:80])
            continue
        owners += [at] * len(asked)
        turns += asked
    if prompts:
        for at, near in zip(owners, nearest_among(turns, prompts), strict=True):
            if near.bleu > max_bleu and verdicts[at] is None:
                seen = f"{near.bleu:.0f}: {prompts[near.index][:80]}"
                verdicts[at] = (f"BLEU over {max_bleu:g} with an evaluation prompt", seen)
    return sift(examples, verdicts)


def own_prompts() -> list[str]:
    """The prompts this lab evaluates on: held-out style prompts and questions on facts."""
    return [*prompts_of(STYLE_PROMPTS), *(fact.question for fact in facts_of("evaluate"))]


def prompts_of(path: Path) -> list[str]:
    """The evaluation prompts of a file: its fields prompt, question, instruction, text or turns.

    Raises:
        UserError: It can't be read or has none.
    """
    found = [p for row in read_file(path) if isinstance(row, Row) for p in _asked(row.value)]
    if not found:
        raise UserError(
            f"{path} has no evaluation prompts.",
            "Its rows should have a field prompt, question, instruction, text or turns.",
        )
    return found


def _asked(row: Mapping[str, Any]) -> Iterator[str]:
    for field in ("prompt", "question", "instruction", "text"):
        if isinstance(value := row.get(field), str) and value.strip():
            yield value
            return
    turns = row.get("turns")
    if isinstance(turns, list):
        yield from (turn for turn in turns if isinstance(turn, str) and turn.strip())


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _runs(prompts: Sequence[str]) -> Mapping[int, Mapping[tuple[str, ...], int]]:
    """Length -> the runs of words looked for, with the number of their prompt."""
    runs: dict[int, dict[tuple[str, ...], int]] = {}
    for number, prompt in enumerate(prompts):
        words = _words(prompt)
        size = min(RUN, len(words))
        if size >= SHORTEST:
            for at in range(len(words) - size + 1):
                runs.setdefault(size, {}).setdefault(tuple(words[at : at + size]), number)
    return runs


def _shared_run(text: str, runs: Mapping[int, Mapping[tuple[str, ...], int]]) -> int | None:
    words = _words(text)
    for size, known in runs.items():
        for at in range(len(words) - size + 1):
            if (number := known.get(tuple(words[at : at + size]))) is not None:
                return number
    return None
