"""“Were you fooled?” as HTML: how often the wrong one of two answers was preferred."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from dashboards.shell.interval_text import percent
from dashboards.shell.templates import render
from dashboards.votes.board import PartyPreference
from dashboards.votes.cells import Measured, plural, share_cell
from imitation.evaluation.judging.wrong_answer_preference import (
    WRONG_ANSWER_DEFINITION,
    WrongAnswerPreference,
)
from imitation.values import Interval

Name = Callable[[str], str]
"""A model's id -> what people read."""


def wrong_answers_html(parties: Sequence[PartyPreference], name: Name) -> Markup:
    """The one number, and where it comes from: people in full, each judge folded up."""
    return render(
        "votes/wrong_answers.html",
        finding=_finding(parties[0]) if parties else "",
        parties=[
            {
                "who": party.who,
                "summary": _summary(party.all.share),
                "groups": [
                    ("", [_row("All", party.all)]),
                    (
                        "Wrong answer by",
                        [_row(name(model), part) for model, part in party.by_model.items()],
                    ),
                    (
                        "How alike the two answers look",
                        [_row(band, part) for band, part in party.by_likeness.items()],
                    ),
                ],
            }
            for party in parties
        ],
        definition=WRONG_ANSWER_DEFINITION,
    )


def _finding(party: PartyPreference) -> str:
    share = party.all.share
    where = "where one answer was right and the other wrong"
    if share.too_few():
        who = "people" if party.who == "People" else party.who  # inside a sentence
        return f"How often {who} preferred the wrong answer is {share.too_few('case')} {where}."
    return (
        f"{party.who} preferred the wrong answer in {percent(share, 0)} of {share.n:,} "
        f"{plural(share.n, 'case')} {where}."
    )


def _summary(share: Interval) -> str:
    return share.too_few("case") or f"{percent(share, 0)} of {share.n:,}"


def _row(label: str, part: WrongAnswerPreference) -> dict[str, Any]:
    n = part.share.n
    if not n:
        return {"label": label, "cases": "0", "wrong": Measured("no case"), "equal": "",
                "right": ""}  # fmt: skip
    return {
        "label": label,
        "cases": f"{n:,}",
        "wrong": share_cell(part.share, "case"),
        "equal": f"{part.equal:,} of {n:,}",
        "right": f"{part.right:,} of {n:,}",
    }
