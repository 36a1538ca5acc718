"""The board of the Votes page as HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dashboards.shell.interval_text import percent
from dashboards.shell.markdown import plain
from dashboards.votes.board import Board, Told
from imitation.evaluation.judging.bradley_terry import (
    CENTRE,
    LEAST_ITEMS,
    LEAST_STYLED,
    Rating,
    Ratings,
)
from imitation.evaluation.judging.preferences import VOTE_DEFINITIONS, Agreement, WinRate
from imitation.evaluation.judging.wrong_answer_preference import FOOLED_DEFINITION, Fooled
from imitation.evaluation.statistics.intervals import LEAST_SHARE
from imitation.values import Interval

Name = Callable[[str], str]
NOTHING = (
    '<p class="lab-quiet">No verdict yet. Vote in Compare with “Blind test” on, '
    "make a study below and send its link to raters, or let a judge work.</p>"
)
_STYLE = {
    "length": "more words",
    "lists": "more list items",
    "headers": "more headers",
    "bold": "more bold",
}
_SPREAD = 60.0
"""Least points shown on each side of the scores."""


def board_html(board: Board, name: Name) -> str:
    """Everything of a board, section by section."""
    if not board.verdicts:
        return NOTHING + _notes(board)
    return "".join(
        (
            _sizes(board),
            _ratings(board, name),
            _rates(board.rates, name),
            _checks(board),
            _notes(board),
            _definitions(),
        )
    )


def fooled_html(told: Sequence[Told], name: Name) -> str:
    """“Were you fooled?”: the one number, and where it comes from."""
    head = '<section class="lab-fooled"><h2>Were you fooled?</h2>'
    if not told:
        return (
            f'{head}<p class="lab-quiet">Nobody could be yet: it takes votes on questions with a '
            "known answer (examples in Compare, “Facts with a known answer”) where one answer is "
            "right and the other wrong.</p></section>"
        )
    first = told[0]
    rows = _told(first, name)
    rows += "".join(
        f'<details class="lab-more"><summary>{plain(one.who)}: {_in_short(one.all.share)}'
        f"</summary>{_told(one, name)}</details>"
        for one in told[1:]
    )
    return (
        f'{head}<p class="lab-finding">{plain(_fooled(first))}</p>{rows}'
        f'<p class="lab-note">{plain(FOOLED_DEFINITION)} Wilson 95% intervals.</p></section>'
    )


def _fooled(one: Told) -> str:
    share, cases = one.all.share, _many(one.all.share.n, "case")
    where = "where one answer was right and the other wrong"
    if share.too_few():
        return (
            f"How often {_inside(one.who)} preferred the wrong answer is {share.too_few('case')} "
            f"{where}."
        )
    return (
        f"{one.who} preferred the wrong answer in {percent(share, 0)} of {share.n:,} {cases} "
        f"{where}."
    )


def _inside(who: str) -> str:
    """A party's name inside a sentence."""
    return "people" if who == "People" else who


def _in_short(share: Interval) -> str:
    return share.too_few("case") or f"{percent(share, 0)} of {share.n:,}"


def _told(one: Told, name: Name) -> str:
    groups: list[tuple[str, Mapping[str, Fooled], Name]] = [
        ("Wrong answer by", one.by_model, name),
        ("How alike the two answers look", one.by_likeness, str),
    ]
    rows = _fooled_row("All", one.all)
    for title, parts, label in groups:
        rows += f'<tr class="lab-group"><th scope="rowgroup" colspan="5">{title}</th></tr>'
        rows += "".join(_fooled_row(label(key), part) for key, part in parts.items())
    return _table(
        plain(one.who),
        ("", "Cases", "Preferred the wrong one", "Called equal", "Preferred the right one"),
        rows,
    )


def _fooled_row(label: str, part: Fooled) -> str:
    n = part.share.n
    if not n:
        return _cells(label, "0", "no case", "", "")
    return _cells(
        label, f"{n:,}", _interval(part.share, "case"), f"{part.equal:,} of {n:,}",
        f"{part.right:,} of {n:,}",
    )  # fmt: skip


def _sizes(board: Board) -> str:
    parts = [
        f"{board.verdicts:,} {_many(board.verdicts, 'verdict')}",
        f"{board.items:,} {_many(board.items, 'item')}",
        f"{board.prompts:,} {_many(board.prompts, 'prompt')}",
        f"{board.raters:,} {_many(board.raters, 'rater')}",
    ]
    return f'<p class="lab-sizes">{" · ".join(parts)}</p>'


def _ratings(board: Board, name: Name) -> str:
    styled = {rating.model: rating.score for rating in board.styled.models}
    if board.styled.reason:  # said once, below
        styled = dict.fromkeys(styled)
    span = _span(board.plain, board.styled)
    groups = sorted({rating.group for rating in board.plain.models})
    tables = []
    for group in groups:
        rows = "".join(
            _score_row(name(r.model), r, styled[r.model], span)
            for r in board.plain.models
            if r.group == group
        )
        caption = "Bradley-Terry scores; 400 points more are odds of ten to one"
        if group:
            caption = "Never compared with those above, by no chain of pairs: a scale of its own"
        heads = ("Model", "Items", "As preferred", "", "One item more", "Style taken out", "")
        tables.append(_table(caption, heads, rows))
    return f"<h2>Scores</h2>{''.join(tables)}{_style(board.styled)}"


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


def _score_row(label: str, rating: Rating, styled: Interval | None, span: float) -> str:
    moved = "" if rating.moved is None else f"up to ±{rating.moved:.0f}"
    cells = [f'<th scope="row">{plain(label)}</th>', f"<td>{rating.score.n:,}</td>"]
    cells += [*_score_cells(rating.score, span), f"<td>{moved}</td>", *_score_cells(styled, span)]
    return f"<tr>{''.join(cells)}</tr>"


def _score_cells(score: Interval | None, span: float) -> tuple[str, str]:
    if score is None:
        return "<td></td>", "<td></td>"
    return f"<td>{_points(score)}</td>", f'<td class="lab-cell">{_range(score, span)}</td>'


def _points(score: Interval) -> str:
    if score.value is None:
        return score.too_few() or "not defined"
    if score.low is None or score.high is None:
        return f"{score.value:.0f}"
    return f"{score.value:.0f} <small>{score.low:.0f} to {score.high:.0f}</small>"


def _range(score: Interval, span: float) -> str:
    """Score and interval on a line whose middle is the mean of the group."""
    if score.value is None:
        return ""

    def at(value: float) -> float:
        return 50 + 50 * (value - CENTRE) / span

    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    return (
        f'<span class="lab-range" aria-hidden="true"><i style="left:{at(low):.2f}%;'
        f'width:{at(high) - at(low):.2f}%"></i><b style="left:{at(score.value):.2f}%"></b></span>'
    )


def _style(styled: Ratings) -> str:
    """What form alone is worth."""
    if styled.reason:
        return f'<p class="lab-note">Style cannot be taken out here: {styled.reason}.</p>'
    told = []
    for key, effect in styled.style.items():
        label = _STYLE[key]
        if effect.value is None or effect.low is None or effect.high is None:
            why = effect.too_few() if effect.n else "all answers alike"
            told.append(f"{label}: {why}")
        else:
            value, low, high = (
                f"{round(end):+d}" for end in (effect.value, effect.low, effect.high)
            )
            told.append(f"{label}: {value} points [{low}, {high}]")
    return (
        '<p class="lab-note">What form alone is worth, for a difference of one standard deviation '
        f"between the two answers: {'; '.join(told)}.</p>"
    )


def _rates(rates: Sequence[WinRate], name: Name) -> str:
    rows = "".join(_rate_row(_readable(rate), name) for rate in rates)
    heads = ("", "Items", "First better", "Equal or better", "Second better")
    table = _table("Item by item; 95% intervals in brackets", heads, rows)
    return f"<h2>One against another</h2>{table}"


def _readable(rate: WinRate) -> WinRate:
    """The side first that won more."""
    return rate if rate.wins >= rate.losses else rate.mirrored


def _rate_row(rate: WinRate, name: Name) -> str:
    one, two = plain(name(rate.model)), plain(name(rate.other))
    n = rate.n
    parts = (
        ("won", rate.wins, f"{one} better: {rate.wins}"),
        ("tied", rate.ties, f"equal: {rate.ties}"),
        ("lost", rate.losses, f"{two} better: {rate.losses}"),
    )
    bar = "".join(
        f'<i class="lab-{kind}" style="width:{100 * k / n:.2f}%" title="{said}"></i>'
        for kind, k, said in parts
    )
    head = f'<b>{one}</b> against {two}<span class="lab-stack" aria-hidden="true">{bar}</span>'
    if why := rate.better.too_few():
        cells = f'<td colspan="3" class="lab-missing">{why}</td>'
    else:
        shares = (rate.better, rate.equal_or_better, rate.mirrored.better)
        cells = "".join(f"<td>{_interval(share)}</td>" for share in shares)
    return f'<tr><th scope="row">{head}</th><td>{n:,}</td>{cells}</tr>'


def _checks(board: Board) -> str:
    rows = ""
    if board.order.n:
        rows += _check("The answer shown first was preferred", board.order, "verdict", "50%")
    if board.consistent.n:
        rows += _check("The same verdict in both orders", board.consistent, "pair", "")
    if board.within.share.n:
        rows += _agreement("Raters agree with each other", board.within)
    for label, agreement in board.others:
        if agreement.share.n:
            rows += _agreement(f"Agrees with {label.removeprefix('Judge: ')}", agreement)
    if not rows:
        return ""
    table = _table("95% intervals in brackets", ("", "Over", "Share", "By chance"), rows)
    return f"<h2>Can they be trusted?</h2>{table}"


def _agreement(label: str, agreement: Agreement) -> str:
    chance = "" if agreement.chance is None else f"{agreement.chance:.0%}"
    return _check(label, agreement.share, "item", chance)


def _check(label: str, share: Interval, unit: str, chance: str) -> str:
    over = f"{share.n:,} {_many(share.n, unit)}"
    return _cells(label, over, _interval(share, unit), "" if share.too_few() else chance)


def _notes(board: Board) -> str:
    told = []
    if board.unparsed:
        total = sum(board.unparsed.values())
        why = ", ".join(f"{n} {problem}" for problem, n in board.unparsed.items())
        told.append(
            f"{total:,} {_many(total, 'answer')} of the judge without a verdict, counted for "
            f"nobody: {why}."
        )
    if board.waiting:
        told.append(f"{board.waiting:,} {_many(board.waiting, 'question')} not judged yet.")
    if board.refused:
        total = sum(board.refused.values())
        why = ", ".join(f"{n} {reason}" for reason, n in board.refused.items())
        told.append(f"{total:,} {_many(total, 'vote')} refused: {why}.")
    if board.set_aside and not board.source.startswith(("judge:", "study:")):
        told.append(
            f"{board.set_aside:,} {_many(board.set_aside, 'vote')} with names shown are set aside."
        )
    return "".join(f'<p class="lab-note">{plain(sentence)}</p>' for sentence in told)


def _definitions() -> str:
    terms = "".join(
        f"<dt>{key.capitalize()}</dt><dd>{plain(text)}</dd>"
        for key, text in VOTE_DEFINITIONS.items()
    )
    return (
        f'<details class="lab-more"><summary>How this is measured</summary><dl>{terms}</dl>'
        "<p>Scores: Bradley-Terry over items, ties half a win each, with Firth's penalty, which "
        "keeps a score finite where a model has won every time; intervals are those of the "
        "penalised likelihood-ratio test (Heinze and Schemper 2002). “One item more” is how far "
        f"one more may move a score. A score takes {LEAST_ITEMS} items, a share {LEAST_SHARE}. "
        "“Style taken out” adds the differences in length, list items, headers and bold passages "
        f"as covariates; it takes {LEAST_STYLED} items for each of them and for each model but "
        "one. The best of three columns beats each of the others, so one vote can be two items; "
        "intervals are as much wider as the items of one prompt hang together."
        "</p></details>"
    )


def _table(caption: str, heads: Sequence[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{title}</th>' for title in heads)
    return (
        f'<p class="lab-note">{caption}</p>'
        f'<div class="lab-scroll" tabindex="0" role="region" aria-label="{caption}">'
        f'<table class="lab-table lab-votes"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cells(label: str, *values: str) -> str:
    cells = "".join(f"<td>{value}</td>" for value in values)
    return f'<tr><th scope="row">{plain(label)}</th>{cells}</tr>'


def _interval(interval: Interval, unit: str = "item") -> str:
    if why := interval.too_few(unit):
        return why
    if interval.value is None:
        return "not defined"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.0%}"
    return f"{interval.value:.0%} <small>[{interval.low:.0%}, {interval.high:.0%}]</small>"


def _many(n: int, word: str) -> str:
    return word if n == 1 else f"{word}s"
