"""Blind studies: making one, looking after it, rating."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.shell.context import Context
from dashboards.votes.raters import Rater, raters
from dashboards.votes.study_plan import Plan
from imitation.errors import UserError
from imitation.storage import studies, study_ratings, votes
from imitation.storage.studies import Study
from imitation.storage.study_ratings import Showing

MAX_STUDIES = 50
"""Studies one visitor may keep."""
GUIDELINES = """\
You see a question and two answers, A and B. Which answer would you rather have been given?

- Read both to the end. Longer is not better, and neither is a more confident tone.
- Look up what you are not sure of: an answer that is wrong is no good answer.
- Choose **Equal** if you really have no preference.
- There is no hurry, and you can come back by the same link."""


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


def create(
    context: Context,
    visitor: str,
    plan: Plan,
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
        plan.pairs,
        name=name.strip() or f"Study of {plan.source}",
        guidelines=guidelines.strip()[:10_000] or GUIDELINES,
        source=plan.source,
        dropped=plan.dropped,
        raters=raters,
        repeat_every=repeat_every,
        visitor=visitor,
    )


def watched(context: Context, visitor: str) -> list[Watched]:
    """A visitor's own studies, newest first."""
    db = context.db
    rows = []
    for study in studies.of_visitor(db, visitor):
        ratings = study_ratings.ratings(db, study.id)
        rows.append(
            Watched(
                study,
                sum(not rating.again for rating in ratings),
                study_ratings.complete(db, study),
                raters(ratings),
                votes.refused(db, study.id),
            )
        )
    return rows


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
