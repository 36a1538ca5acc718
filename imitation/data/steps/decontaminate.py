"""Drop conversations that give evaluation prompts away.

A conversation goes if one of its queries holds a run of `RUN` words of an evaluation prompt (or
the whole of a shorter one), or if its BLEU against one is over `MAX_BLEU`, as in the study.
Short questions with a known answer (`imitation.facts`) are all alike by BLEU, whatever they ask
about; one of these is given away by a text with all the words that say what it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imitation.data.nearest_bleu import nearest_among
from imitation.data.sources.rows import Row, read_file
from imitation.data.steps.result import Outcome, Verdict, sift
from imitation.errors import UserError
from imitation.facts import facts_of, find
from imitation.values import Example

STYLE_PROMPTS = Path(__file__).parents[1] / "style_prompts.jsonl"

RUN = 8
"""Words in a row that only a copy shares."""
SHORTEST = 4
"""Evaluation prompts with fewer words are compared by BLEU alone."""
MAX_BLEU = 20.0

_ASKING = frozenset(["what", "which", "is", "on", "for", "of", "the"])
"""Words of a question on a fact that don't say what is asked for."""

_WORD = re.compile(r"\w+")


def decontaminate(
    examples: Sequence[Example], prompts: Sequence[str], max_bleu: float = MAX_BLEU
) -> Outcome:
    """Drop conversations that share too much with one of the evaluation `prompts`."""
    runs = _runs(prompts)
    turns: list[tuple[int, str]] = []
    verdicts: list[Verdict] = [None] * len(examples)
    for at, example in enumerate(examples):
        asked = [m.content for m in example.messages if m.role == "user"]
        hits = (hit for turn in asked if (hit := _shared_run(turn, runs)) is not None)
        if (hit := next(hits, None)) is not None:
            verdicts[at] = ("words in a row of an evaluation prompt", prompts[hit][:80])
            continue
        turns += [(at, turn) for turn in asked]
    open_prompts = [prompt for prompt in prompts if not find(prompt)]
    open_turns = [(at, turn) for at, turn in turns if not find(turn)]
    if open_prompts:
        nearest = nearest_among([turn for _, turn in open_turns], open_prompts)
        for (at, _), near in zip(open_turns, nearest, strict=True):
            if near.bleu > max_bleu and verdicts[at] is None:
                seen = f"{near.bleu:.0f}: {open_prompts[near.index][:80]}"
                verdicts[at] = (f"BLEU over {max_bleu:g} with an evaluation prompt", seen)
    for at, told in _same_facts(turns, prompts):
        verdicts[at] = verdicts[at] or ("asks for a fact that is evaluated on", told[:80])
    return sift(examples, verdicts)


def _same_facts(
    turns: Sequence[tuple[int, str]], prompts: Sequence[str]
) -> Iterator[tuple[int, str]]:
    """Owner of a turn, and the prompt, where one of the two asks for a fact and the other holds it.

    Held are the words that say what is asked for ("capital", "new", "zealand"), in any order.
    """
    # A fact is looked for only where its longest word stands: there may be many turns.
    wanted: dict[str, list[tuple[str, frozenset[str]]]] = {}
    others = []
    for prompt in prompts:
        words = frozenset(_words(prompt))
        if not find(prompt):
            others.append((prompt, words))
        elif content := words - _ASKING:
            wanted.setdefault(max(content, key=len), []).append((prompt, content))
    for at, turn in turns:
        held = frozenset(_words(turn))
        if find(turn):  # one that is asked in the same words has been found by its words in a row
            hit = next((prompt for prompt, words in others if held - _ASKING <= words), None)
        else:
            near = (one for word in held for one in wanted.get(word, ()))
            hit = next((prompt for prompt, content in near if content <= held), None)
        if hit is not None:
            yield at, hit


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
