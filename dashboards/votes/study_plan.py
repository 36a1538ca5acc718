"""What a study would ask: pairs of a source, without prompts that training gave away."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dashboards.shell.context import Context
from dashboards.shell.training_data import data_files
from dashboards.votes.answer_pairs import Choice, find
from imitation.data.format import read_examples
from imitation.data.steps.coding import asks_for_code
from imitation.errors import UserError
from imitation.storage.studies import Dropped
from imitation.values import Example, Message, Pair

LEFT_OUT = ("coding", "language")
"""What the study left out of its human evaluation: prompts about code, prompts not in English."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study would ask.

    Attributes:
        pairs: Its items.
        prompts: Prompts behind them.
        dropped: Prompts left out, each with its reason.
        source: Where the items come from, in words.
        wanted: Prompts that were asked for, None for all.
    """

    pairs: tuple[Pair, ...]
    prompts: int
    dropped: tuple[Dropped, ...]
    source: str
    wanted: int | None = None


def plan(
    context: Context,
    visitor: str,
    choice: Choice,
    training: Sequence[str],
    left_out: Collection[str] = LEFT_OUT,
) -> Plan:
    """The items of a study, without prompts that the training data gives away.

    Args:
        context: The lab.
        visitor: Who makes it.
        choice: Where the items come from.
        training: Paths of training data, of the list that `data_files` gives.
        left_out: Kinds of prompts that the study left out too, of `LEFT_OUT`.

    Raises:
        UserError: There is nothing to ask, or a file is not of that list.
    """
    pairs, source = find(context, visitor, replace(choice, prompts=None))
    queries = _trained_on(context, visitor, training)
    texts = {pair.prompt: pair.answers[0] for pair in reversed(pairs)}
    waiting = list(dict.fromkeys(pair.prompt for pair in pairs))
    wanted = len(waiting) if choice.prompts is None else choice.prompts
    if wanted < 1 <= len(waiting):
        raise UserError(f"{wanted} prompts are too few.", "At least 1, or 0 for all.")
    if wanted < len(waiting):
        waiting = random.Random(0).sample(waiting, len(waiting))
    kept: set[str] = set()
    dropped: list[Dropped] = []
    # Drawn until there are as many as were asked for: what is left out takes nobody's place.
    while waiting and len(kept) < wanted:
        size = 2 * (wanted - len(kept))
        drawn, waiting = waiting[:size], waiting[size:]
        reasons = _reasons(drawn, texts, queries, left_out)
        for prompt in drawn:
            if len(kept) == wanted:
                break
            if reason := reasons.get(prompt):
                dropped.append(Dropped(prompt, reason))
            else:
                kept.add(prompt)
    left = tuple(pair for pair in pairs if pair.prompt in kept)
    return Plan(left, len(kept), tuple(dropped), source, choice.prompts)


def _trained_on(context: Context, visitor: str, training: Sequence[str]) -> list[str]:
    """What the training data asks."""
    known = {path for _, path in data_files(context.settings, visitor)}
    queries: list[str] = []
    for path in training:
        if path not in known:
            raise UserError(f"{path!r} is not in the list of data.", "Choose one of the list.")
        examples, _ = read_examples(Path(path))
        queries += [m.content for e in examples for m in e.messages if m.role == "user"]
    return queries


def _reasons(
    prompts: Sequence[str],
    answers: Mapping[str, str],
    queries: Sequence[str],
    left_out: Collection[str],
) -> dict[str, str]:
    """Prompt -> why it is left out, for those that are."""
    # Brings BLEU along, which starting the app should not wait for.
    from imitation.data.steps.decontaminate import decontaminate

    examples = [
        Example((Message("user", p), Message("assistant", answers[p])), id=str(at))
        for at, p in enumerate(prompts)
    ]
    reasons = _unwanted(examples, left_out)
    # Its outcome names the first of those dropped only; all of them are kept here.
    kept = {example.id for example in decontaminate(examples, queries).kept}
    reasons |= {e.id: "in the training data, or nearly so" for e in examples if e.id not in kept}
    return {prompts[int(at)]: reason for at, reason in reasons.items()}


def _unwanted(examples: Sequence[Example], left_out: Collection[str]) -> dict[str, str]:
    """Id -> why a prompt is of a kind that is left out."""
    reasons: dict[str, str] = {}
    if "language" in left_out:
        # Loads the detector's model.
        from imitation.data.steps.language import UNKNOWN, language_of

        languages = {example.id: language_of(example) for example in examples}
        reasons |= {
            at: f"not English ({code})"
            for at, code in languages.items()
            if code not in ("en", UNKNOWN)
        }
    if "coding" in left_out:
        reasons |= {e.id: "coding" for e in examples if asks_for_code(e.messages[0].content)}
    return reasons
