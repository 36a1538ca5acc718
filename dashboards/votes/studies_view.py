"""Studies and judges on the Votes page, and the page of a rater, as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dashboards.shell.components import ColumnView, columns_html
from dashboards.shell.interval_text import percent
from dashboards.shell.job_panel import STATES, button_html
from dashboards.shell.markdown import plain, render
from dashboards.votes.judges import Judged
from dashboards.votes.judges import Plan as JudgePlan
from dashboards.votes.studies import Dropped, Plan, Rater, Showing, Study, Watched
from imitation.evaluation.judging.rubrics import Quote, is_tone, rates_one
from imitation.values import Interval

SHOWN_DROPPED = 50


def plan_html(made: Plan, raters: int) -> str:
    """What a study would ask."""
    n = len(made.pairs)
    text = (
        f"{n:,} {_many(n, 'item')} from {made.prompts:,} {_many(made.prompts, 'prompt')}, "
        f"{n * raters:,} ratings in all."
    )
    if made.wanted is not None and 0 < made.prompts < made.wanted:
        text += f" There are no more of the {made.wanted:,} prompts asked for."
    if not n and made.dropped:
        text = "Every prompt is left out: hold out from less data, or leave fewer kinds out."
    return f'<p class="lab-note">{text}</p>{_dropped(made.dropped)}'


def judge_plan_html(made: JudgePlan) -> str:
    """What judging would take."""
    n, word = len(made.pairs), "answer" if rates_one(made.rubric) else "pair"
    return (
        f'<p class="lab-note">{n:,} {_many(n, word)}, {made.quote.requests:,} questions '
        f"to {plain(made.card.name)}: about {made.quote.prompt_tokens:,} tokens sent, at most "
        f"{made.quote.completion_tokens:,} written. <b>{_price(made.quote)}</b></p>"
    )


def studies_html(found: Sequence[Watched]) -> str:
    """A visitor's own studies."""
    if not found:
        return '<p class="lab-quiet">No study of yours yet.</p>'
    return "".join(_study(one) for one in found)


def judges_html(found: Sequence[Judged]) -> str:
    """Runs of judges."""
    if not found:
        return '<p class="lab-quiet">No judge has worked yet.</p>'
    rows = "".join(_judged(one) for one in found)
    return f'<ol class="lab-history lab-runs">{rows}</ol>'


def rater_html(study: Study | None, showing: Showing | None) -> str:
    """What a rater sees."""
    if study is None:
        return _end("This link opens no study.", "Ask whoever sent it for a new one.")
    if showing is None and study.closed is not None:
        return _end("This study is closed.", "Thank you for your time.")
    if showing is None:
        return _end("There is nothing left for you to rate.", "Thank you: your ratings are kept.")
    pair = showing.pair
    columns = [
        ColumnView(label=letter, text=answer, state="done", index=at)
        for at, (letter, answer) in enumerate(zip("AB", pair.answers, strict=True))
    ]
    buttons = "".join(
        f'<button type="button" data-do="rate" data-choice="{choice}" data-key="{key}" '
        f'data-token="{showing.token}"><kbd>{key}</kbd>{label}</button>'
        for choice, key, label in (
            ("first", "1", "A is better"),
            ("tie", "0", "Equal"),
            ("second", "2", "B is better"),
        )
    )
    opened = "" if showing.done else " open"
    return (
        f'<details class="lab-more lab-guide"{opened}><summary>What to look for</summary>'
        f'<div class="lab-text">{render(study.guidelines)}</div></details>'
        f'<p class="lab-question" dir="auto">{plain(pair.prompt)}</p>{columns_html(columns)}'
        f'<div class="lab-vote lab-ballot-box">{buttons}</div>'
        f'<p class="lab-note lab-count">{showing.done + 1:,} of {showing.of:,}. '
        "Stop whenever you like; the link brings you back here.</p>"
    )


def _end(title: str, more: str) -> str:
    return f'<p class="lab-finding">{title}</p><p class="lab-quiet">{more}</p>'


def _price(quote: Quote) -> str:
    if quote.local:
        return "No fee: it runs on this machine."
    if quote.dollars is None:
        return "Price unknown: its card states no price_in and price_out."
    return f"At most ${quote.dollars:,.2f}."


def _dropped(dropped: Sequence[Dropped]) -> str:
    if not dropped:
        return ""
    n = len(dropped)
    counted = Counter(one.reason for one in dropped)
    why = ", ".join(f"{count:,} {reason}" for reason, count in counted.most_common())
    rows = "".join(
        f"<li>{plain(one.prompt[:160])} <small>({plain(one.reason)})</small></li>"
        for one in dropped[:SHOWN_DROPPED]
    )
    more = f"<p>The first {SHOWN_DROPPED} of them.</p>" if n > SHOWN_DROPPED else ""
    return (
        f'<details class="lab-more"><summary>{n:,} {_many(n, "prompt")} left out '
        f"({plain(why)})</summary>"
        f"<ul>{rows}</ul>{more}</details>"
    )


def _study(one: Watched) -> str:
    study, wanted = one.study, one.study.items * one.study.raters
    share = min(1.0, one.ratings / wanted)
    state = "Closed" if study.closed else "Open"
    facts = (
        f"{one.ratings:,} of {wanted:,} ratings · {one.complete:,} of {study.items:,} items "
        f"complete · {len(one.raters):,} {_many(len(one.raters), 'rater')} · {study.source}"
    )
    refused = _tally("refused", one.refused)
    if study.closed:
        link, switch = "", button_html("open-study", study.id, "Open again")
    else:
        link = (
            f'<div class="lab-command" data-link data-copy="/rate?study={study.invite}">'
            f'<pre tabindex="0" class="lab-invite">/rate?study={study.invite}</pre>'
            '<button type="button" data-do="copy">Copy link</button></div>'
        )
        switch = button_html("close-study", study.id, "Close")
    delete = button_html(
        "delete-study", study.id, "Delete", f"Delete {study.name} with all its ratings?"
    )
    return (
        f'<section class="lab-run lab-study" aria-label="{plain(study.name)}">'
        f"<h3>{plain(study.name)} <small>{state}</small></h3>"
        f"<p>{plain(facts)}{plain(refused)}</p>{_bar(share, study.name)}{link}"
        f'<div class="lab-vote lab-actions">{button_html("show-study", study.id, "Show its board")}'
        f"{switch}{button_html('export-study', study.id, 'Export as JSONL')}{delete}</div>"
        f"{_raters(one.raters)}{_dropped(study.dropped)}</section>"
    )


def _raters(raters: Sequence[Rater]) -> str:
    if not raters:
        return ""
    rows = "".join(
        f'<tr><th scope="row">Rater {r.number}</th><td>{r.ratings:,}</td><td>{r.seconds:.0f} s</td>'
        f"<td>{_share(r.order)}</td><td>{_share(r.same)}</td>"
        f"<td>{plain('; '.join(r.doubts)) or 'none'}</td></tr>"
        for r in raters
    )
    heads = ("", "Ratings", "Median time", "Preferred the first", "Same when repeated", "Doubts")
    head = "".join(f'<th scope="col">{title}</th>' for title in heads)
    return (
        f'<details class="lab-more"><summary>Quality, rater by rater</summary>'
        f'<div class="lab-scroll"><table class="lab-table lab-votes"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _judged(one: Judged) -> str:
    share = one.done / one.total if one.total else 0.0
    state = "Imported" if one.imported else STATES.get(one.state, "")
    facts = f"{one.done:,} of {one.total:,} judged" + _tally("without a verdict", one.unparsed)
    facts += _tally("failed", one.faults)
    if one.spent:
        facts += f" · ${one.spent:,.2f} so far"
    detail = f"<small>{plain(one.detail)}</small>" if one.state == "failed" and one.detail else ""
    buttons = "" if one.single else button_html("show-judge", one.id, "Show its board")
    if one.mine and one.live:
        buttons += button_html("stop-judge", one.id, "Stop")
    elif one.mine:
        if one.done < one.total and not one.imported:
            buttons += button_html("resume-judge", one.id, "Go on")
        buttons += button_html(
            "delete-judge", one.id, "Delete", f"Delete {one.name} and its verdicts?"
        )
    told = f"<pre>{plain(one.rubric)}</pre>" if one.rubric else "<p>Not recorded.</p>"
    command = "" if one.imported else f"<p>Command</p><pre>{plain(one.command)}</pre>"
    return (
        f'<li><div class="lab-judged"><b>{plain(one.name)}</b>{detail}{_yes(one)}'
        f'<details class="lab-sent"><summary>What it was told</summary>{told}{command}</details>'
        f'</div><div class="lab-progress"><span><b>{state}</b> {plain(facts)}</span>'
        f'{_bar(share, one.name)}</div><span class="lab-links">{buttons}</span></li>'
    )


def _yes(one: Judged) -> str:
    """Of a judge of single answers: how many of each model's it said yes to."""
    if not one.yes:
        return ""
    said = "; ".join(
        f"{model} {percent(yes, 0)}" + ("" if yes.too_few() else f" of {yes.n:,}")
        for model, yes in one.yes.items()
    )
    where = " Recorded shows it as the tone of the set." if is_tone(one.rubric) else ""
    return f"<small>Yes: {plain(said)}.{where}</small>"


def _tally(word: str, found: Mapping[str, int]) -> str:
    if not found:
        return ""
    return (
        f" · {sum(found.values()):,} {word} ({', '.join(f'{n} {why}' for why, n in found.items())})"
    )


def _bar(share: float, label: str) -> str:
    return (
        '<div class="lab-bar lab-role-imitation" role="progressbar" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}" aria-label="{plain(label)}">'
        f'<i style="width:{100 * share:.1f}%"></i></div>'
    )


def _share(interval: Interval) -> str:
    if not interval.n:
        return "no case"
    return interval.too_few() or f"{interval.value:.0%} of {interval.n}"


def _many(n: int, word: str) -> str:
    return word if n == 1 else f"{word}s"
