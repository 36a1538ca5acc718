"""The tables under the figures, as HTML and as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dashboards.paper.gap_closed import gap_of
from dashboards.paper.labels import decimals, number, short_model, title
from dashboards.shell.tables import Table
from imitation.published import Record, only, select
from imitation.spreadsheet import csv_text

_FIELDS = (
    "where", "study", "date", "benchmark", "metric", "model", "role", "params_b", "tokens_m",
    "imitation_data", "base", "value", "digitised_error", "source",
)  # fmt: skip


def by_tokens(records: Sequence[Record], caption: str) -> Table:
    """One row per benchmark and place: base, each number of tokens, reference, gap closed."""
    return _sweep(records, caption, lambda r: f"{r.tokens_m:g}M tokens")


def by_size(records: Sequence[Record], caption: str) -> Table:
    """One row per benchmark and place: each base imitated on, gap closed where defined."""
    return _sweep(records, caption, lambda r: f"on {short_model(r)}")


def broad_local(records: Sequence[Record]) -> Table:
    """Table 1: one row per size of the base."""
    reference = only(records, "reference")
    places = decimals(records)
    rows = []
    for size in dict.fromkeys(r.params_b for r in records if r.params_b is not None):
        group = select(records, params_b=size)
        base = only(group, "base")
        by_data = {r.imitation_data: r for r in select(group, role="imitation")}
        broad, local = by_data.get("ShareGPT-Mix"), by_data.get("NQ-synthetic")
        cells = [number(r.value if r else None, places) for r in (base, broad, local, reference)]
        gaps = [_gap(r, base, reference) for r in (broad, local)]
        rows.append((f"LLaMA {size:g}B", *cells, *gaps, _origins(group)))
    header = (
        "Natural Questions, exact match (%)", "Base", "Broad: ShareGPT-Mix", "Local: NQ-synthetic",
        "ChatGPT", "Gap closed, broad", "Gap closed, local", "Source",
    )  # fmt: skip
    return Table("Table 1: broad against local imitation", header, tuple(rows))


def later_tables(records: Sequence[Record]) -> list[Table]:
    """Later studies, a table each: one row per model, one column per benchmark."""
    tables = []
    for study in dict.fromkeys(r.study for r in records):
        group = [r for r in records if r.study == study]
        names = tuple(dict.fromkeys(r.benchmark for r in group))
        rows = []
        for model in dict.fromkeys(r.model for r in group):
            mine = [r for r in group if r.model == model]
            values = {r.benchmark: r.value for r in mine}
            size = "" if mine[0].params_b is None else f"{mine[0].params_b:g}B"
            cells = (number(values.get(name), 1) for name in names)
            rows.append((model, mine[0].role, mine[0].base or "", size, *cells))
        caption = f"{study}, {group[0].date}, percent, printed in {group[0].where}"
        header = ("Model", "Role", "Its base", "Size", *names)
        tables.append(Table(caption, header, tuple(rows)))
    return tables


def to_csv(records: Iterable[Record]) -> str:
    """Every field of every record, with the gap closed where it is defined (share, not percent).

    Base and reference are looked for among the records of the same place, study and benchmark.
    Without records, "".
    """
    rows = list(records)
    if not rows:
        return ""
    lines: list[list[object]] = [[*_FIELDS, "gap_closed"]]
    for r in rows:
        gap = None
        if r.role == "imitation":
            peers = [p for p in rows if _place(p) == _place(r)]
            bases = [p for p in select(peers, role="base") if p.params_b == r.params_b]
            gap = gap_of(r, only(bases, "base"), only(peers, "reference"))
        cells = [getattr(r, name) for name in _FIELDS]
        lines.append([*cells, None if gap is None else f"{gap.value:.4f}"])
    return csv_text(lines)


def _place(record: Record) -> tuple[str, str, str]:
    return record.where, record.study, record.benchmark


def _sweep(records: Sequence[Record], caption: str, column: Callable[[Record], str]) -> Table:
    groups = dict.fromkeys((r.where, r.benchmark) for r in records)
    columns = tuple(dict.fromkeys(column(r) for r in records if r.role == "imitation"))
    references = {short_model(r) for r in records if r.role == "reference"}
    rows = []
    for where, name in groups:
        group = select(records, where=where, benchmark=name)
        base, reference = only(group, "base"), only(group, "reference")
        places = decimals(group)
        by_column = {column(r): r for r in select(group, role="imitation")}
        values = [by_column[c].value if c in by_column else None for c in columns]
        cells = [number(value, places) for value in values]
        ends = [number(r.value if r else None, places) for r in (base, reference)]
        gap = _gap(by_column.get(columns[-1]), base, reference)
        rows.append((", ".join(title(group[0])), ends[0], *cells, ends[1], gap, _origins(group)))
    header = (
        "Measure", "Base", *columns, references.pop() if len(references) == 1 else "ChatGPT",
        f"Gap closed {'at ' if 'tokens' in columns[-1] else ''}{columns[-1]}", "Source",
    )  # fmt: skip
    return Table(caption, header, tuple(rows))


def _gap(imitation: Record | None, base: Record | None, reference: Record | None) -> str:
    gap = gap_of(imitation, base, reference) if imitation else None
    return gap.text if gap else "not defined"


def _origins(records: Sequence[Record]) -> str:
    return "; ".join(dict.fromkeys(r.origin for r in records))
