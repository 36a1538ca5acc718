"""How records are named and written in figures and tables."""

from __future__ import annotations

from collections.abc import Iterable

from dashboards.paper.gap_closed import Gap
from imitation.published import Record

BENCHMARKS = ("MMLU", "Natural Questions", "HumanEval")
"""Benchmarks of Figure 4 in the order shown."""

# Names short enough for a panel of 360 px; the full metric is in the hover text and the table.
_SHORT = {
    "crowd preference": ("Crowd workers", "rated equal to or above ChatGPT (%)"),
    "GPT-4 preference": ("GPT-4 as judge", "rated equal to or above ChatGPT (%)"),
    "non-toxicity": ("Non-toxicity", "mean score, RealToxicityPrompts"),
    "list agreement": ("Lists", "lists where ChatGPT lists (%)"),
    "summary-paragraph agreement": ("Closing summary", "sums up where ChatGPT does (%)"),
    "unigram intersection": ("Shared words", "unigram intersection (%)"),
    "length correlation": ("Length", "correlation with ChatGPT's"),
    "authoritative tone": ("Authoritative tone", "according to GPT-4 (%)"),
}


def title(record: Record) -> tuple[str, str]:
    """Title and subtitle of a panel."""
    return _SHORT.get(record.benchmark, (record.benchmark, record.metric))


def short_model(record: Record) -> str:
    """The model's name without what the panel says already."""
    return record.model.removeprefix("imitation on ").split(" (")[0]


def decimals(records: Iterable[Record]) -> int:
    """Decimals that show every value as published (values of one table share them)."""
    return max((len(f"{r.value:g}".partition(".")[2]) for r in records), default=0)


def number(value: float | None, places: int) -> str:
    """A value with fixed decimals; "not reported" for a missing one."""
    return "not reported" if value is None else f"{value:.{places}f}"


def hover(record: Record, places: int, gap: Gap | None = None) -> str:
    """Hover text: model, value, metric, and whether it is printed or digitised."""
    who = f"<b>{record.model}</b>"
    if record.imitation_data:
        who += f", {record.imitation_data}"
    if record.role == "imitation" and record.tokens_m is not None:
        who += f", {record.tokens_m:g}M tokens"
    lines = [who, f"{record.benchmark}: <b>{record.value:.{places}f}</b>", record.metric]
    if gap is not None:
        ends = f" (reading error: {gap.low:.0%} to {gap.high:.0%})" if gap.low is not None else ""
        lines.insert(1, f"gap closed: <b>{gap.text}</b>{ends}")
    return "<br>".join([*lines, record.origin])


def not_reported(base: Record | None, reference: Record | None) -> str:
    """What of the two a source leaves out, "" if nothing."""
    if base is None and reference is None:
        return "base and ChatGPT: not reported"
    if base is None:
        return "base: not reported"
    return "" if reference else "ChatGPT: not reported"
