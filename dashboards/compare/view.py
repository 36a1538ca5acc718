"""What the Compare page shows for a session, as HTML."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboards.compare.session import Session
from dashboards.shell import markdown
from dashboards.shell.components import (
    ROLE_NAMES,
    ColumnView,
    answer_meta,
    card_detail,
    column_html,
    columns_html,
    sent_html,
)
from dashboards.shell.templates import render
from imitation import facts
from imitation.evaluation.metrics.style import compare
from imitation.storage.comparisons import Comparison
from imitation.storage.votes import ALL_BAD, TIE, GuessScore
from imitation.values import Answer, ModelSpec

log = logging.getLogger(__name__)
LETTERS = "ABCD"
_ENDED = ("done", "stopped")


@dataclass(frozen=True, slots=True)
class Button:
    """A button under the columns.

    Attributes:
        do: What it does.
        label: What people read.
        key: The key that presses it, "" for none.
        choice: What is voted for, "" where it is no vote.
    """

    do: str
    label: str
    key: str = ""
    choice: str = ""


@dataclass(frozen=True, slots=True)
class Actions:
    """The bar under the columns: what can be done, and a sentence before it."""

    buttons: Sequence[Button]
    sentence: str = ""


def arena_html(session: Session, chosen: Sequence[ModelSpec] = ()) -> Markup:
    """Earlier turns, the columns, and what can be done with them.

    Args:
        session: The tab's session.
        chosen: Models to show as empty columns before anything was asked.
    """
    comparison = session.comparison
    if comparison is None:
        return columns_html(
            [
                ColumnView(ROLE_NAMES[card.role], card.name, card_detail(card), card.role, index=i)
                for i, card in enumerate(chosen)
            ]
        )
    answers = session.shown()
    created = time.gmtime(comparison.created)
    return render(
        "compare/arena.html",
        shared_on="" if session.own else time.strftime("%d %B %Y", created),
        earlier=_earlier(comparison),
        prompt=comparison.turns[-1].prompt,
        running=session.phase == "running",
        columns=[
            _column_html(session, comparison, answers, index)
            for index in range(len(comparison.cards))
        ],
        actions=_actions(session, comparison),
    )


def history_html(items: Sequence[Comparison], now: float | None = None) -> Markup:
    """A visitor's own comparisons: question, models (unless still hidden), when; open, delete."""
    if not items:
        return Markup(
            '<p class="lab-quiet">Nothing yet. What you ask is kept here, for you only.</p>'
        )
    now = time.time() if now is None else now
    rows = []
    for item in items:
        names = (
            "blind, names not revealed" if item.blind else " · ".join(c.name for c in item.cards)
        )
        about = [_ago(now - item.created), names]
        about += [f"{len(item.turns)} turns"] if len(item.turns) > 1 else []
        about += ["shared"] if item.share else []
        prompt = item.turns[0].prompt if item.turns else ""
        rows.append({"id": item.id, "prompt": prompt[:140], "about": " · ".join(about)})
    return render("compare/history.html", rows=rows)


def score_text(score: GuessScore) -> str:
    """The visitor's running score in words; "" before the first guess."""
    if not score.total:
        return ""
    return (
        f"You found the reference {score.right} of {score.total} "
        f"time{'s' * (score.total != 1)}; guessing finds it {score.expected / score.total:.0%} of "
        "the time."
    )


def _column_html(
    session: Session, comparison: Comparison, answers: Sequence[Answer], index: int
) -> Markup:
    """One column; what cannot be worked out about its answer takes no other column with it."""
    answer = answers[index]
    if comparison.blind:
        return column_html(_hidden_column(index, answer, session.phase == "running"))
    try:
        return column_html(_column(session, comparison, answers, index))
    except Exception:
        card = comparison.cards[index]
        log.exception("showing column %s (%s) failed", index, card.id)
        view = ColumnView(
            label=ROLE_NAMES[card.role],
            name=card.name,
            role=card.role,
            text=answer.text,
            state=answer.state,
            error=("More about this answer cannot be shown.", "The error is in the app's log."),
            index=index,
        )
        return column_html(view)


def _column(
    session: Session, comparison: Comparison, answers: Sequence[Answer], index: int
) -> ColumnView:
    """A column with all that is known of its answer."""
    card, answer = comparison.cards[index], answers[index]
    turn = comparison.turns[-1]
    reference = next((i for i, c in enumerate(comparison.cards) if c.role == "reference"), None)
    fact = facts.find(turn.prompt) if len(comparison.turns) == 1 else None
    strip = None
    if reference is not None and index != reference and answer.state in _ENDED:
        other = answers[reference]
        if other.state in _ENDED and other.text:
            strip = compare(answer.text, other.text)
    return ColumnView(
        label=ROLE_NAMES[card.role],
        name=card.name,
        detail=card_detail(card),
        role=card.role,
        text=answer.text,
        state=answer.state,
        status=answer.status,
        progress=answer.progress,
        strip=strip,
        is_reference=index == reference and answer.state in _ENDED,
        fact=(facts.check(fact, answer.text), fact.answers[0])
        if fact and answer.state in _ENDED
        else None,
        meta=answer_meta(answer),
        error=answer.error,
        sent=sent_html(answer) if answer.state not in ("waiting", "streaming") else "",
        stoppable=session.own and answer.state in ("waiting", "streaming"),
        buttons=_buttons(answer, session.own),
        index=index,
    )


def _hidden_column(index: int, answer: Answer, running: bool) -> ColumnView:
    """A column that gives nothing away: a letter and the text."""
    return ColumnView(
        label=LETTERS[index],
        text=answer.text,
        state="streaming" if running else "done",
        stoppable=running,
        index=index,
    )


def _buttons(answer: Answer, own: bool) -> list[tuple[str, str]]:
    if answer.state in ("waiting", "streaming"):
        return []
    again = [("again", "Retry" if answer.state == "failed" else "Regenerate")] if own else []
    return [*again, ("copy", "Copy")] if answer.text else again


def _earlier(comparison: Comparison) -> list[tuple[str, list[tuple[str, Markup]]]]:
    """Earlier turns: each prompt with (role, answer) of every column."""
    roles = ["blind" if comparison.blind else card.role for card in comparison.cards]
    return [
        (
            turn.prompt,
            [
                (role, Markup(markdown.render(answer.text)))  # cleaned there
                for role, answer in zip(roles, turn.answers, strict=True)
            ],
        )
        for turn in comparison.turns[:-1]
    ]


def _actions(session: Session, comparison: Comparison) -> Actions | None:
    """What can be done, by phase."""
    phase = session.phase
    if not session.own or phase == "running":
        return None
    if phase == "void":
        return Actions(
            [Button("again-all", "Ask again, in a new order"), Button("reveal", "Reveal")],
            "A column failed, so this round cannot be voted on.",
        )
    names = list(enumerate(_ballot_names(comparison)))
    if phase == "guess":
        guesses = [Button("guess", name, key=str(i + 1), choice=str(i)) for i, name in names]
        return Actions(
            [*guesses, Button("reveal", "Skip")], "Voted. Now: which one is the reference?"
        )
    voted = session.voted()
    if phase == "open" and "preference" in voted:
        return Actions(_share_buttons(comparison), _verdict(comparison, voted))
    if phase == "open" and any(answer.state == "failed" for answer in session.answers):
        return Actions(_share_buttons(comparison))
    last = [Button("reveal", "Reveal")] if phase == "vote" else _share_buttons(comparison)
    return Actions(
        [
            *(Button("vote", name, key=str(i + 1), choice=str(i)) for i, name in names),
            Button("vote", "Equal", key="0", choice=TIE),
            Button("vote", "All bad", key="x", choice=ALL_BAD),
            *last,
        ],
        "Which answer is best?",
    )


def _ballot_names(comparison: Comparison) -> list[str]:
    """Letters while names are hidden, else the role, with the name where a role stands twice."""
    if comparison.blind:
        return list(LETTERS[: len(comparison.cards)])
    roles = [card.role for card in comparison.cards]
    return [
        ROLE_NAMES[card.role] + (f": {card.name}" if roles.count(card.role) > 1 else "")
        for card in comparison.cards
    ]


def _verdict(comparison: Comparison, voted: dict[str, str]) -> str:
    names = {card.id: f"{ROLE_NAMES[card.role]}, {card.name}" for card in comparison.cards}
    sentence = f"You preferred: {names.get(voted['preference'], voted['preference'])}."
    if guess := voted.get("reference"):
        right = any(c.id == guess and c.role == "reference" for c in comparison.cards)
        sentence += f" You took {names[guess]} for the reference: {'right' if right else 'wrong'}."
    return sentence


def _share_buttons(comparison: Comparison) -> list[Button]:
    if comparison.share:
        return [Button("share", "Copy link again"), Button("unshare", "Withdraw link")]
    return [Button("share", "Copy link")]


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
