"""What the Compare page shows for a session, as HTML."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from dashboards.compare.session import Session
from dashboards.shell.components import (
    ROLE_NAMES,
    ColumnView,
    answer_meta,
    card_detail,
    column_html,
    columns_html,
    sent_html,
)
from dashboards.shell.markdown import plain, render
from imitation import facts
from imitation.evaluation.metrics.style import compare
from imitation.storage.comparisons import Comparison
from imitation.storage.votes import ALL_BAD, TIE, GuessScore
from imitation.values import Answer, ModelSpec

log = logging.getLogger(__name__)
LETTERS = "ABCD"
_ENDED = ("done", "stopped")


def arena_html(session: Session, chosen: Sequence[ModelSpec] = ()) -> str:
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
    columns = [
        _column_html(session, comparison, answers, index) for index in range(len(comparison.cards))
    ]
    return (
        _banner(session, comparison)
        + _earlier(comparison)
        + _question(session, comparison)
        + f'<div class="lab-cols">{"".join(columns)}</div>'
        + _actions(session, comparison)
    )


def history_html(items: Sequence[Comparison], now: float | None = None) -> str:
    """A visitor's own comparisons: question, models (unless still hidden), when; open, delete."""
    if not items:
        return '<p class="lab-quiet">Nothing yet. What you ask is kept here, for you only.</p>'
    now = time.time() if now is None else now
    rows = []
    for item in items:
        names = (
            "blind, names not revealed" if item.blind else " · ".join(c.name for c in item.cards)
        )
        shared = " · shared" if item.share else ""
        turns = f" · {len(item.turns)} turns" if len(item.turns) > 1 else ""
        prompt = item.turns[0].prompt if item.turns else ""
        rows.append(
            '<li><button type="button" class="lab-open" data-do="open" '
            f'data-id="{plain(item.id)}"><b dir="auto">{plain(prompt[:140])}</b>'
            f"<small>{_ago(now - item.created)} · {plain(names)}{turns}{shared}</small></button>"
            f'<button type="button" data-do="delete" data-id="{plain(item.id)}" '
            'data-confirm="Delete this comparison and its link?">Delete</button></li>'
        )
    return f'<ul class="lab-history">{"".join(rows)}</ul>'


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
) -> str:
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


def _earlier(comparison: Comparison) -> str:
    """Earlier turns, each with every column's answer, collapsed."""
    if len(comparison.turns) < 2:
        return ""
    blocks = []
    for turn in comparison.turns[:-1]:
        cells = "".join(
            f'<div class="lab-text lab-role-{"blind" if comparison.blind else card.role}" '
            f'dir="auto">{render(answer.text)}</div>'
            for card, answer in zip(comparison.cards, turn.answers, strict=True)
        )
        blocks.append(
            f'<p class="lab-question" dir="auto">{plain(turn.prompt)}</p>'
            f'<div class="lab-cols lab-past">{cells}</div>'
        )
    count = len(comparison.turns) - 1
    label = "1 earlier turn" if count == 1 else f"{count} earlier turns"
    return f'<details class="lab-earlier"><summary>{label}</summary>{"".join(blocks)}</details>'


def _question(session: Session, comparison: Comparison) -> str:
    stop = _button("stop-all", "Stop all") if session.phase == "running" else ""
    prompt = plain(comparison.turns[-1].prompt)
    return (
        f'<div class="lab-asked"><p class="lab-question" dir="auto">{prompt}</p>'
        f'<div class="lab-vote">{stop}</div></div>'
    )


def _banner(session: Session, comparison: Comparison) -> str:
    if session.own:
        return ""
    when = time.strftime("%d %B %Y", time.gmtime(comparison.created))
    return (
        f'<p class="lab-notice" role="status">A shared comparison of {when}, as it was stored. '
        "Nothing is generated again.</p>"
    )


def _actions(session: Session, comparison: Comparison) -> str:
    """The bar under the columns, by phase."""
    phase = session.phase
    if not session.own or phase == "running":
        return ""
    if phase == "void":
        return _bar(
            [_button("again-all", "Ask again, in a new order"), _button("reveal", "Reveal")],
            "A column failed, so this round cannot be voted on.",
        )
    names = _ballot_names(comparison)
    if phase == "guess":
        buttons = [
            _button("guess", name, key=str(i + 1), choice=str(i)) for i, name in enumerate(names)
        ]
        return _bar(
            [*buttons, _button("reveal", "Skip")], "Voted. Now: which one is the reference?"
        )
    voted = session.voted()
    if phase == "open" and "preference" in voted:
        return _bar([_share_button(comparison)], _verdict(comparison, voted))
    if phase == "open" and any(answer.state == "failed" for answer in session.answers):
        return _bar([_share_button(comparison)])
    last = _button("reveal", "Reveal") if phase == "vote" else _share_button(comparison)
    buttons = [_button("vote", name, key=str(i + 1), choice=str(i)) for i, name in enumerate(names)]
    return _bar(
        [
            *buttons,
            _button("vote", "Equal", key="0", choice=TIE),
            _button("vote", "All bad", key="x", choice=ALL_BAD),
            last,
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


def _share_button(comparison: Comparison) -> str:
    if comparison.share:
        return _button("share", "Copy link again") + _button("unshare", "Withdraw link")
    return _button("share", "Copy link")


def _button(do: str, label: str, key: str = "", choice: str = "") -> str:
    hint = f"<kbd>{key.upper()}</kbd>" if key else ""
    data = f' data-key="{key}"' if key else ""
    data += f' data-choice="{plain(choice)}"' if choice else ""
    return f'<button type="button" data-do="{do}"{data}>{hint}{plain(label)}</button>'


def _bar(buttons: Sequence[str], sentence: str = "") -> str:
    lead = f'<p class="lab-ballot">{plain(sentence)}</p>' if sentence else ""
    return f'{lead}<div class="lab-vote">{"".join(buttons)}</div>'


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
