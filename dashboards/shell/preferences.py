"""What people and judges preferred, as far as a visitor may see it."""

from __future__ import annotations

from itertools import chain

from imitation.errors import UserError
from imitation.storage import judgements, studies, study_ratings, votes
from imitation.storage.database import Store
from imitation.values import Preference

PEOPLE, COMPARE = "people", "compare"
"""Sources besides "study:ID" and "judge:ID"."""


def preferences_of(db: Store, source: str, visitor: str) -> list[Preference]:
    """The verdicts of a source; repeats, which only test a rater, left out.

    Raises:
        UserError: It is gone.
    """
    if source == COMPARE:
        return votes.preferences(db)
    if source == PEOPLE:
        return of_people(db, visitor)
    kind, _, identity = source.partition(":")
    if kind == "study":
        return _study(db, studies.get(db, identity).id)
    if kind == "judge":
        return judgements.preferences(db, identity)
    raise UserError(f"There is no source {source!r}.", "Choose one of the list.")


def everybody(db: Store, visitor: str) -> list[Preference]:
    """All verdicts of people and judges that this visitor may see."""
    judges = (judgements.preferences(db, run.id) for run in judgements.runs(db, visitor))
    return [*preferences_of(db, PEOPLE, visitor), *chain.from_iterable(judges)]


def of_people(db: Store, visitor: str, but: str = "") -> list[Preference]:
    """Votes in Compare and on a visitor's studies, all `but` one of these."""
    own = [study.id for study in studies.of_visitor(db, visitor) if study.id != but]
    return [*votes.preferences(db), *(p for study in own for p in _study(db, study))]


def _study(db: Store, identity: str) -> list[Preference]:
    return [rated.preference for rated in study_ratings.ratings(db, identity) if not rated.again]
