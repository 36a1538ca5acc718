"""The board of the Votes page as HTML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from dashboards.shell.templates import render
from dashboards.votes.board import Board
from dashboards.votes.cells import Measured, count, share_cell
from imitation.evaluation.judging.bradley_terry import (
    CENTRE,
    LEAST_ITEMS,
    LEAST_STYLED,
    Rating,
    Ratings,
)
from imitation.evaluation.judging.preferences import VOTE_DEFINITIONS, Agreement, WinRate
from imitation.evaluation.statistics.intervals import LEAST_SHARE
from imitation.values import Interval

Name = Callable[[str], str]
"""A model's id -> what people read."""
_STYLE = {
    "length": "more words",
    "lists": "more list items",
    "headers": "more headers",
    "bold": "more bold",
}
_SPREAD = 60.0
"""Least points shown on each side of the scores."""


def board_html(board: Board, name: Name) -> Markup:
    """Everything of a board, section by section."""
    return render(
        "votes/board.html",
        empty=not board.verdicts,
        sizes=" · ".join(
            (
                count(board.verdicts, "verdict"),
                count(board.items, "item"),
                count(board.prompts, "prompt"),
                count(board.raters, "rater"),
            )
        ),
        scores=_score_tables(board, name),
        style_note=_style_note(board.styled),
        rates=[_rate_row(_winner_first(rate), name) for rate in board.rates],
        checks=_checks(board),
        notes=_notes(board),
        definitions=VOTE_DEFINITIONS,
        least_items=LEAST_ITEMS,
        least_share=LEAST_SHARE,
        least_styled=LEAST_STYLED,
    )


def _score_tables(board: Board, name: Name) -> list[tuple[str, list[dict[str, Any]]]]:
    """(caption, rows) of each group of models that were compared with one another."""
    styled: dict[str, Interval | None] = {r.model: r.score for r in board.styled.models}
    if board.styled.reason:  # stands once, below
        styled = dict.fromkeys(styled)
    span = _span(board.plain, board.styled)
    tables = []
    for group in sorted({rating.group for rating in board.plain.models}):
        caption = "Bradley-Terry scores; 400 points more are odds of ten to one"
        if group:
            caption = "Never compared with those above, by no chain of pairs: a scale of its own"
        rows = [
            _score_row(name(rating.model), rating, styled[rating.model], span)
            for rating in board.plain.models
            if rating.group == group
        ]
        tables.append((caption, rows))
    return tables


def _span(*fits: Ratings) -> float:
    """Points on each side of the centre that all intervals fit into."""
    ends = [
        abs(end - CENTRE)
        for fit in fits
        for rating in fit.models
        for end in (rating.score.value, rating.score.low, rating.score.high)
        if end is not None
    ]
    return max([_SPREAD, *ends]) * 1.04


def _score_row(name: str, rating: Rating, styled: Interval | None, span: float) -> dict[str, Any]:
    return {
        "name": name,
        "n": f"{rating.score.n:,}",
        "plain": _score(rating.score, span),
        "moved": "" if rating.moved is None else f"up to ±{rating.moved:.0f}",
        "styled": _score(styled, span),
    }


def _score(score: Interval | None, span: float) -> dict[str, Any] | None:
    return None if score is None else {"points": _points(score), "range": _range(score, span)}


def _points(score: Interval) -> Measured:
    if score.value is None:
        return Measured(score.too_few() or "not defined")
    if score.low is None or score.high is None:
        return Measured(f"{score.value:.0f}")
    return Measured(f"{score.value:.0f}", f"{score.low:.0f} to {score.high:.0f}")


def _range(score: Interval, span: float) -> dict[str, float] | None:
    """Score and interval in percent of a line whose middle is the mean of the group."""
    if score.value is None:
        return None

    def at(value: float) -> float:
        return 50 + 50 * (value - CENTRE) / span

    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    return {"left": at(low), "width": at(high) - at(low), "value": at(score.value)}


def _style_note(styled: Ratings) -> str:
    """What form alone is worth."""
    if styled.reason:
        return f"Style cannot be taken out here: {styled.reason}."
    effects = []
    for key, effect in styled.style.items():
        label = _STYLE[key]
        if effect.value is None or effect.low is None or effect.high is None:
            why = effect.too_few() if effect.n else "all answers alike"
            effects.append(f"{label}: {why}")
        else:
            value, low, high = (
                f"{round(end):+d}" for end in (effect.value, effect.low, effect.high)
            )
            effects.append(f"{label}: {value} points [{low}, {high}]")
    return (
        "What form alone is worth, for a difference of one standard deviation between the two "
        f"answers: {'; '.join(effects)}."
    )


def _winner_first(rate: WinRate) -> WinRate:
    return rate if rate.wins >= rate.losses else rate.mirrored


def _rate_row(rate: WinRate, name: Name) -> dict[str, Any]:
    first, second, n = name(rate.model), name(rate.other), rate.n
    stack = (
        ("won", rate.wins, f"{first} better: {rate.wins}"),
        ("tied", rate.ties, f"equal: {rate.ties}"),
        ("lost", rate.losses, f"{second} better: {rate.losses}"),
    )
    shares = (rate.better, rate.equal_or_better, rate.mirrored.better)
    return {
        "first": first,
        "second": second,
        "n": f"{n:,}",
        "stack": [(kind, 100 * k / n, title) for kind, k, title in stack],
        "too_few": rate.better.too_few(),
        "shares": [share_cell(share) for share in shares],
    }


def _checks(board: Board) -> list[dict[str, Any]]:
    """What tells whether the verdicts can be trusted; what has no case is left out."""
    rows = [
        _check("The answer shown first was preferred", board.order, "verdict", "50%"),
        _check("The same verdict in both orders", board.consistent, "pair", ""),
        _agreement("Raters agree with each other", board.within),
        *(
            _agreement(f"Agrees with {label.removeprefix('Judge: ')}", agreement)
            for label, agreement in board.others
        ),
    ]
    return [row for row in rows if row]


def _agreement(label: str, agreement: Agreement) -> dict[str, Any]:
    chance = "" if agreement.chance is None else f"{agreement.chance:.0%}"
    return _check(label, agreement.share, "item", chance)


def _check(label: str, share: Interval, unit: str, chance: str) -> dict[str, Any]:
    if not share.n:
        return {}
    return {
        "label": label,
        "over": count(share.n, unit),
        "share": share_cell(share, unit),
        "chance": "" if share.too_few() else chance,
    }


def _notes(board: Board) -> list[str]:
    """What is on no board, and why."""
    notes = []
    if board.unparsed:
        total = sum(board.unparsed.values())
        why = ", ".join(f"{n} {problem}" for problem, n in board.unparsed.items())
        notes.append(
            f"{count(total, 'answer')} of the judge without a verdict, counted for nobody: {why}."
        )
    if board.waiting:
        notes.append(f"{count(board.waiting, 'question')} not judged yet.")
    if board.refused:
        total = sum(board.refused.values())
        why = ", ".join(f"{n} {reason}" for reason, n in board.refused.items())
        notes.append(f"{count(total, 'vote')} refused: {why}.")
    if board.set_aside and not board.source.startswith(("judge:", "study:")):
        notes.append(f"{count(board.set_aside, 'vote')} with names shown are set aside.")
    return notes
