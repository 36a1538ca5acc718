"""The board of the Votes page: what people and judges preferred."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboards.shell.context import Context
from dashboards.shell.preferences import COMPARE, PEOPLE, of_people, preferences_of
from imitation.evaluation.judging.bradley_terry import Ratings, rate
from imitation.evaluation.judging.preferences import (
    Agreement,
    Decision,
    WinRate,
    agreement_between,
    agreement_within,
    consistency,
    decide,
    order_effect,
    win_rates,
)
from imitation.evaluation.judging.rubrics import rates_one
from imitation.evaluation.judging.wrong_answer_preference import (
    WrongAnswerPreference,
    by_likeness,
    by_model,
    cases,
    wrong_answer_preference,
)
from imitation.storage import judgements, studies, votes
from imitation.storage.database import Store
from imitation.values import Interval

EVERYBODY = "People: Compare and your studies"
OTHER_PEOPLE = "People: Compare and your other studies"
_KEPT = 32


@dataclass(frozen=True, slots=True)
class PartyPreference:
    """How often one party preferred a wrong answer.

    Attributes:
        who: "People" or a judge.
        all: Over all cases.
        by_model: By the model that gave the wrong answer.
        by_likeness: By how alike the two answers look.
    """

    who: str
    all: WrongAnswerPreference
    by_model: Mapping[str, WrongAnswerPreference]
    by_likeness: Mapping[str, WrongAnswerPreference]


@dataclass(frozen=True, slots=True)
class Board:
    """What the verdicts of one source come to.

    Attributes:
        source: PEOPLE, COMPARE, "study:ID" or "judge:ID".
        sources: (label, source) of all this visitor may choose.
        verdicts: Single verdicts.
        items: Pairs of answers they are on.
        prompts: Prompts these are of.
        raters: Who gave them.
        plain: Bradley-Terry scores.
        styled: The same with style control.
        rates: Every two models that met.
        order: Share of verdicts for the answer shown first.
        consistent: Share of pairs seen in both orders with the same verdict.
        within: Agreement of raters with each other.
        others: Agreement of the source with people and with each judge.
        unparsed: Problem -> answers of the judge without a verdict.
        waiting: Judgements not made yet.
        refused: Reason -> votes not taken.
        set_aside: Votes with names shown, which are on no board.
        wrong_answers: Of people and each judge, those with cases only.
    """

    source: str
    sources: tuple[tuple[str, str], ...]
    verdicts: int
    items: int
    prompts: int
    raters: int
    plain: Ratings
    styled: Ratings
    rates: tuple[WinRate, ...]
    order: Interval
    consistent: Interval
    within: Agreement
    others: tuple[tuple[str, Agreement], ...]
    unparsed: Mapping[str, int]
    waiting: int
    refused: Mapping[str, int]
    set_aside: int
    wrong_answers: tuple[PartyPreference, ...]


class Boards:
    """Boards, worked out again only where a vote has come since."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept: dict[tuple[object, ...], Board] = {}
        self._lock = threading.Lock()

    def stamp(self) -> tuple[int, ...]:
        """Changes with every vote, rating, verdict, run and study."""
        row = self._context.db.execute(
            "SELECT (SELECT coalesce(max(id), 0) FROM votes),"
            " (SELECT count(*) FROM showings WHERE rated IS NOT NULL),"
            " (SELECT count(*) FROM judgements WHERE state IN ('judged', 'unparsed')),"
            " (SELECT count(*) FROM judge_runs), (SELECT count(*) FROM studies),"
            " (SELECT count(*) FROM studies WHERE closed IS NULL),"
            " (SELECT coalesce(sum(n), 0) FROM refused_votes)"
        ).fetchone()
        return tuple(row)

    def board(self, source: str, visitor: str) -> Board:
        """The board of a source; one this visitor may not see becomes the default."""
        sources = tuple(self.sources(visitor))
        known = [value for _, value in sources]
        if source not in known:
            source = self._default(known, visitor)
        key = (self.stamp(), source, sources)
        with self._lock:
            if key not in self._kept:
                if len(self._kept) >= _KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = _board(self._context.db, source, sources, visitor)
            return self._kept[key]

    def sources(self, visitor: str) -> list[tuple[str, str]]:
        """(label, source) of all this visitor may choose."""
        db = self._context.db
        return [
            (EVERYBODY, PEOPLE),
            ("People: blind votes in Compare", COMPARE),
            *((f"Study: {s.name}", f"study:{s.id}") for s in studies.of_visitor(db, visitor)),
            *(
                (f"Judge: {run.name}", f"judge:{run.id}")
                for run in judgements.runs(db, visitor)
                if not rates_one(run.rubric)
            ),
        ]

    def _default(self, known: Sequence[str], visitor: str) -> str:
        """People, as long as there are any; else the newest judge."""
        if preferences_of(self._context.db, PEOPLE, visitor):
            return PEOPLE
        return next((value for value in known if value.startswith("judge:")), PEOPLE)


def _board(db: Store, source: str, sources: tuple[tuple[str, str], ...], visitor: str) -> Board:
    preferences = preferences_of(db, source, visitor)
    decisions = decide(preferences)
    people = decide(preferences_of(db, PEOPLE, visitor))
    judges = {
        value: (label, decide(preferences_of(db, value, visitor)))
        for label, value in sources
        if value.startswith("judge:")
    }
    others = [] if source in (PEOPLE, COMPARE) else [(EVERYBODY, people)]
    if source.startswith("study:"):  # with its own votes it would agree in any case
        rest = of_people(db, visitor, but=source.removeprefix("study:"))
        others = [(OTHER_PEOPLE, decide(rest))]
    others += [judge for value, judge in judges.items() if value != source]
    states = judgements.counts(db, source.removeprefix("judge:"))
    return Board(
        source=source,
        sources=sources,
        verdicts=len(preferences),
        items=len(decisions),
        prompts=len({decision.pair.prompt for decision in decisions}),
        raters=len({preference.rater for preference in preferences}),
        plain=rate(decisions),
        styled=rate(decisions, styled=True),
        rates=tuple(win_rates(decisions)),
        order=order_effect(preferences),
        consistent=consistency(preferences),
        within=agreement_within(preferences),
        others=tuple((label, agreement_between(decisions, other)) for label, other in others),
        unparsed=states.problems,
        waiting=states.left,
        refused=_refused(db, source, visitor),
        set_aside=len({(p.pair.key, p.rater) for p in votes.preferences(db, blind=False)}),
        wrong_answers=_wrong_answers([("People", people), *judges.values()]),
    )


def _refused(db: Store, source: str, visitor: str) -> dict[str, int]:
    if source.startswith("study:"):
        return votes.refused(db, source.removeprefix("study:"))
    total = votes.refused(db) if source in (PEOPLE, COMPARE) else {}
    if source == PEOPLE:
        for study in studies.of_visitor(db, visitor):
            for reason, n in votes.refused(db, study.id).items():
                total[reason] = total.get(reason, 0) + n
    return total


def _wrong_answers(
    parties: Sequence[tuple[str, Sequence[Decision]]],
) -> tuple[PartyPreference, ...]:
    rows = ((who, cases(decisions)) for who, decisions in parties)
    return tuple(
        PartyPreference(who, wrong_answer_preference(of), by_model(of), by_likeness(of))
        for who, of in rows
        if of
    )
