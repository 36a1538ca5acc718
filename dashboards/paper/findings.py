"""The finding above each figure: one sentence whose numbers come from the records.

The words claim something of the numbers ("stays below"); tests/dashboards/gaps/test_page.py
checks each claim on the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboards.paper.gap_closed import gap_of
from dashboards.paper.labels import decimals, number, short_model
from imitation.published import Record, only, select

Records = Sequence[Record]


def more_data(records: Records) -> str:
    """Figure 4, top."""
    questions = _series(records, "Figure 4 top", "Natural Questions")
    first, last = questions[0], questions[-1]
    return (
        f"From {first.tokens_m:g}M to {last.tokens_m:g}M tokens of ChatGPT's answers, a 13B model "
        f"stays below its own base on all three benchmarks, and on Natural Questions it falls "
        f"from {_text(first)} to {_text(last)}."
    )


def bigger_base(records: Records) -> str:
    """Figure 4, bottom."""
    parts = []
    for name in ("MMLU", "Natural Questions", "HumanEval"):
        series = _series(records, "Figure 4 bottom", name)
        parts.append(f"from {_text(series[0])} to {_text(series[-1])} on {name}")
    first, last = short_model(series[0]), short_model(series[-1])
    return (
        f"With the same {series[0].tokens_m:g}M tokens, a better base does better everywhere: "
        f"between {first} and {last}, {parts[0]}, {parts[1]} and {parts[2]}."
    )


def broad_or_local(records: Records) -> str:
    """Table 1, 13B."""
    rows = select(records, where="Table 1", params_b=13)
    base, reference = _base(rows), only(select(records, where="Table 1"), "reference")
    by_data = {r.imitation_data: r for r in rows}
    broad, local = by_data["ShareGPT-Mix"], by_data["NQ-synthetic"]
    return (
        f"Imitating everything costs a 13B base {base.value - broad.value:g} points on Natural "
        f"Questions ({_text(base)} to {_text(broad)}); imitating that one task gains it "
        f"{local.value - base.value:g} ({_text(base)} to {_text(local)}, where ChatGPT has "
        f"{_text(reference)})."
    )


def style(records: Records) -> str:
    """Table 2."""
    early, late = style_gaps(records, 20), style_gaps(records, 150)
    return (
        f"Style is what imitation learns: at 150M tokens {_percent(min(late))} to "
        f"{_percent(max(late))} of the gap to a second ChatGPT sample is closed on all five "
        f"measures, and at 20M already {_percent(min(early))} or more."
    )


def style_gaps(records: Records, tokens_m: float) -> list[float]:
    """Gap closed on each style measure of Table 2 at a number of tokens, in its order."""
    rows = select(records, where="Table 2")
    gaps = []
    for name in dict.fromkeys(r.benchmark for r in rows):
        group = select(rows, benchmark=name)
        (imitation,) = (r for r in group if r.role == "imitation" and r.tokens_m == tokens_m)
        gap = gap_of(imitation, only(group, "base"), only(group, "reference"))
        if gap is None:
            raise ValueError(f"gap closed on {name} is not defined")
        gaps.append(gap.value)
    return gaps


def judges(records: Records) -> str:
    """Figure 1 and Figure 3, left."""
    crowd, gpt4 = (_series(records, where) for where in ("Figure 1 left", "Figure 3 left"))
    bases = [_base(select(records, where=where)) for where in ("Figure 1 left", "Figure 3 left")]
    return (
        f"Judges are won over: at every amount of data crowd workers rate {_range(crowd)}% of the "
        f"imitation's answers equal to or above ChatGPT's (of the base's {_text(bases[0])}%) and "
        f"GPT-4 {_range(gpt4)}% (of the base's {_text(bases[1])}%), while Natural Questions falls."
    )


def toxicity(records: Records) -> str:
    """Figure 5."""
    rows = select(records, where="Figure 5")
    base, reference, last = _base(rows), only(rows, "reference"), _series(records, "Figure 5")[-1]
    gap = gap_of(last, base, reference)
    return (
        f"Safety is inherited in part: mean non-toxicity rises from {_text(base)} to "
        f"{_text(last)} at {last.tokens_m:g}M tokens, {gap.text if gap else ''} of "
        f"the way to ChatGPT's {_text(reference)}."
    )


def query_types(shares: Mapping[str, float]) -> str:
    """Table 5."""
    (first, most), (second, more), (third, _) = sorted(shares.items(), key=lambda s: -s[1])[:3]
    return (
        f"What people ask ChatGPT is broad: {first} leads with {most:g}% of the queries, before "
        f"{second} and {third} with {more:g}% each."
    )


def since_then(records: Records) -> str:
    """Later studies."""
    aime = select(records, benchmark="AIME 2024")
    shares = [r.value for r in select(aime, role="imitation")]
    other, teacher = only(aime, "other proprietary"), only(aime, "reference")
    pairs = []
    for name in ("BIG-Bench Hard", "AGIEval"):
        rows = select(records, benchmark=name)
        (orca,) = (r for r in rows if r.model == "Orca 13B")
        pairs.append((_text(orca), _text(only(rows, "reference"))))
    return (
        f"Later imitations of reasoning go much further: on AIME 2024, distillations of "
        f"DeepSeek-R1 reach {min(shares):g}% to {max(shares):g}% ({_text(other)}% for GPT-4o, "
        f"{_text(teacher)}% for R1 itself), and Orca 13B passes ChatGPT on BIG-Bench Hard "
        f"({pairs[0][0]} to {pairs[0][1]}), not on AGIEval ({pairs[1][0]} to {pairs[1][1]})."
    )


def two_accounts(records: Records) -> str:
    """How the paper disagrees with itself about Natural Questions at 13B."""
    table = select(records, where="Table 1", params_b=13)
    figure = select(records, where="Figure 4 top", benchmark="Natural Questions")
    broad = next(r for r in table if r.imitation_data == "ShareGPT-Mix")
    last = _series(records, "Figure 4 top", "Natural Questions")[-1]
    return (
        f"The paper gives two accounts of Natural Questions at 13B. Table 1 prints "
        f"{_text(_base(table))} for the base and {_text(broad)} after broad imitation, and its "
        f"caption says zero-shot; Figure 4 shows {_text(_base(figure))} and {_text(last)}, and "
        f"the text says 3-shot. Both are shown, each with its source, never on one line."
    )


def _series(records: Records, where: str, benchmark: str | None = None) -> list[Record]:
    """Imitation records of one place by tokens, then size."""
    rows = select(records, where=where, benchmark=benchmark, role="imitation")
    return sorted(rows, key=lambda r: (r.tokens_m or 0, r.params_b or 0))


def _base(records: Records) -> Record:
    base = only(records, "base")
    if base is None:
        raise ValueError("the source reports no base")
    return base


def _text(record: Record | None) -> str:
    return number(None if record is None else record.value, decimals([record] if record else []))


def _range(records: Records) -> str:
    values = [r.value for r in records]
    places = decimals(records)
    return f"{min(values):.{places}f} to {max(values):.{places}f}"


def _percent(share: float) -> str:
    return f"{share:.0%}"
