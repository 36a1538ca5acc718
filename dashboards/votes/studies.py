"""Blind studies: making one, looking after it, rating; no Gradio in here."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from dashboards.shell.context import Context
from dashboards.shell.training_data import data_files
from dashboards.votes.answer_pairs import Choice, find
from imitation.data.format import read_examples
from imitation.data.steps.coding import asks_for_code
from imitation.errors import UserError
from imitation.evaluation.judging.preferences import order_effect, oriented
from imitation.evaluation.statistics.intervals import share
from imitation.storage import studies, study_ratings, votes
from imitation.storage.studies import Dropped, Study
from imitation.storage.study_ratings import Rated, Showing
from imitation.values import Example, Interval, Message, Outcome, Pair

__all__ = ["Dropped", "Showing", "Study"]

LEFT_OUT = ("coding", "language")
"""What the study left out of its human evaluation: prompts about code, prompts not in English."""
MAX_STUDIES = 50
"""Studies one visitor may keep."""
HASTY_S = 5.0
"""A median below this is faster than two answers are read."""
GUIDELINES = """\
You see a question and two answers, A and B. Which answer would you rather have been given?

- Read both to the end. Longer is not better, and neither is a more confident tone.
- Look up what you are not sure of: an answer that is wrong is no good answer.
- Choose **Equal** if you really have no preference.
- There is no hurry, and you can come back by the same link."""


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


@dataclass(frozen=True, slots=True)
class Rater:
    """One rater's work, for a look at its quality.

    Attributes:
        number: In the order they began.
        ratings: Items rated, repeats left out.
        seconds: Median time of a rating.
        order: Share of their preferences that went to the answer shown first.
        same: Share of the repeated items on which they said the same again.
        doubts: What should make one look closer, in words.
    """

    number: int
    ratings: int
    seconds: float
    order: Interval
    same: Interval
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """A study as its maker sees it.

    Attributes:
        study: What is asked.
        ratings: Ratings so far, repeats left out.
        complete: Items that have all the ratings wanted.
        raters: Who rated.
        refused: Reason -> votes not taken.
    """

    study: Study
    ratings: int
    complete: int
    raters: tuple[Rater, ...]
    refused: dict[str, int]


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

    asked = [
        Example((Message("user", p), Message("assistant", answers[p])), id=str(at))
        for at, p in enumerate(prompts)
    ]
    reasons = _unwanted(asked, left_out)
    # Its outcome names the first of those dropped only; all of them are kept here.
    kept = {example.id for example in decontaminate(asked, queries).kept}
    reasons |= {e.id: "in the training data, or nearly so" for e in asked if e.id not in kept}
    return {prompts[int(at)]: reason for at, reason in reasons.items()}


def _unwanted(asked: Sequence[Example], left_out: Collection[str]) -> dict[str, str]:
    """Id -> why a prompt is of a kind that is left out."""
    reasons: dict[str, str] = {}
    if "language" in left_out:
        # Loads the detector's model.
        from imitation.data.steps.language import UNKNOWN, language_of

        found = {example.id: language_of(example) for example in asked}
        reasons |= {
            at: f"not English ({code})" for at, code in found.items() if code not in ("en", UNKNOWN)
        }
    if "coding" in left_out:
        reasons |= {e.id: "coding" for e in asked if asks_for_code(e.messages[0].content)}
    return reasons


def create(
    context: Context,
    visitor: str,
    made: Plan,
    *,
    name: str,
    guidelines: str,
    raters: int,
    repeat_every: int,
) -> str:
    """Store a planned study and return its id.

    Raises:
        UserError: It has no items, a number is out of range, or there are too many studies.
        StorageError: It could not be written.
    """
    if len(studies.of_visitor(context.db, visitor)) >= MAX_STUDIES:
        raise UserError(f"You keep {MAX_STUDIES} studies already.", "Delete one of them first.")
    return studies.create(
        context.db,
        made.pairs,
        name=name.strip() or f"Study of {made.source}",
        guidelines=guidelines.strip()[:10_000] or GUIDELINES,
        source=made.source,
        dropped=made.dropped,
        raters=raters,
        repeat_every=repeat_every,
        visitor=visitor,
    )


def watched(context: Context, visitor: str) -> list[Watched]:
    """A visitor's own studies, newest first."""
    db = context.db
    found = []
    for study in studies.of_visitor(db, visitor):
        rated = study_ratings.ratings(db, study.id)
        found.append(
            Watched(
                study,
                sum(not one.again for one in rated),
                study_ratings.complete(db, study),
                _raters(rated),
                votes.refused(db, study.id),
            )
        )
    return found


def export(context: Context, visitor: str, identity: str) -> tuple[str, str]:
    """Name and text of a JSONL file of a visitor's own study.

    Raises:
        UserError: It is gone or somebody else's.
    """
    study = own(context, visitor, identity)
    stem = "".join(c if c.isalnum() else "-" for c in study.name).strip("-")[:60] or "study"
    return f"{stem}.jsonl", "\n".join(study_ratings.export_lines(context.db, study)) + "\n"


def own(context: Context, visitor: str, identity: str) -> Study:
    """A visitor's own study.

    Raises:
        UserError: It is gone or somebody else's.
    """
    study = studies.get(context.db, identity)
    if study.visitor != visitor:
        raise UserError("Only its maker can do that to a study.")
    return study


def set_open(context: Context, visitor: str, identity: str, is_open: bool) -> None:
    """Close a visitor's own study to votes, or open it again.

    Raises:
        UserError: It is gone or somebody else's.
    """
    own(context, visitor, identity)
    studies.set_open(context.db, identity, visitor, is_open)


def delete(context: Context, visitor: str, identity: str) -> None:
    """Delete a visitor's own study with its ratings.

    Raises:
        UserError: It is gone or somebody else's.
    """
    own(context, visitor, identity)
    studies.delete(context.db, identity, visitor)


def invited(context: Context, invite: str) -> Study | None:
    """The study an invitation opens."""
    return studies.invited(context.db, invite)


def show(context: Context, study: Study, visitor: str) -> Showing | None:
    """What a rater rates next, None where nothing is left."""
    return study_ratings.show(context.db, study, visitor)


def vote(context: Context, invite: str, visitor: str, token: str, outcome: str) -> None:
    """Take a rater's vote.

    Raises:
        UserError: It was refused.
    """
    study_ratings.vote(context.db, invite, visitor, token, outcome)


def _raters(rated: Sequence[Rated]) -> tuple[Rater, ...]:
    names = list(dict.fromkeys(one.preference.rater for one in rated))
    return tuple(
        _rater(number, [one for one in rated if one.preference.rater == name])
        for number, name in enumerate(names, 1)
    )


def _rater(number: int, rated: Sequence[Rated]) -> Rater:
    first = [one for one in rated if not one.again]
    said: dict[str, Outcome] = {
        one.preference.pair.key: oriented(one.preference)[1] for one in first
    }
    again = [
        said[one.preference.pair.key] == oriented(one.preference)[1]
        for one in rated
        if one.again and one.preference.pair.key in said
    ]
    seconds = median(one.seconds for one in rated)
    order = order_effect(one.preference for one in first)
    same = share(sum(again), len(again))
    doubts = []
    if seconds < HASTY_S:
        doubts.append(f"half of the ratings in under {HASTY_S:g} s")
    if not order.too_few() and not (order.low or 0.0) <= 0.5 <= (order.high or 1.0):
        doubts.append("prefers a place, not an answer")
    if not same.too_few() and (same.value or 0.0) < 0.5:
        doubts.append("says otherwise when asked again")
    return Rater(number, len(first), seconds, order, same, tuple(doubts))
