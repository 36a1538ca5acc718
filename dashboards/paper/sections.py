"""What the Gaps page shows, section by section: finding, figures, tables, notes, records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.paper import findings
from dashboards.paper.labels import BENCHMARKS
from dashboards.paper.tables import broad_local, by_size, by_tokens, later_tables
from dashboards.shell.tables import Table
from imitation.published import Paper, Record, select


@dataclass(frozen=True, slots=True)
class FigureSlot:
    """A figure of a section.

    Attributes:
        id: Its name in `dashboards.paper.gallery`, and that of its files.
        caption: Where in the paper it is from.
        source: The same in full, for pictures that leave the page.
    """

    id: str
    caption: str
    source: str


@dataclass(frozen=True, slots=True)
class Section:
    """One question, its answer and the evidence.

    Attributes:
        id: Anchor.
        chip: Short name in the list at the top.
        title: Heading.
        finding: One sentence, numbers from the records.
        figures: In order.
        tables: Under the figures.
        records: What the CSV download holds.
        notes: Sentences under the tables.
        no_gap: Why no share of the gap can be shown; "" where it can.
    """

    id: str
    chip: str
    title: str
    finding: str
    figures: tuple[FigureSlot, ...]
    tables: tuple[Table, ...]
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    no_gap: str = ""


def sections(paper: Paper, later: Sequence[Record]) -> list[Section]:
    """Every section of the page, in order; Plotly is not needed for any of it."""
    r = paper.records

    def slot(name: str, caption: str) -> FigureSlot:
        return FigureSlot(name, caption, _source(paper, caption))

    def places(*names: str) -> tuple[Record, ...]:
        return tuple(record for name in names for record in select(r, where=name))

    tokens, size = (
        tuple(record for name in BENCHMARKS for record in select(places(w), benchmark=name))
        for w in ("Figure 4 top", "Figure 4 bottom")
    )
    questions = tuple(select(tokens, benchmark="Natural Questions"))
    judged_by_tokens = (*places("Figure 1 left"), *questions, *places("Figure 3 left"))
    judged_by_size = places("Figure 1 right", "Figure 3 right")
    two_accounts = findings.two_accounts(r)
    return [
        Section(
            "more-data", "More data", "More imitation data", findings.more_data(r),
            (slot("figure-4-top", "Figure 4, top"),),
            (by_tokens(tokens, "Figure 4, top: by imitation tokens, LLaMA 13B"),),
            tokens, (two_accounts,),
        ),
        Section(
            "bigger-base", "Bigger base", "A bigger base", findings.bigger_base(r),
            (slot("figure-4-bottom", "Figure 4, bottom"),),
            (by_size(size, "Figure 4, bottom: by size of the base, 150M tokens"),),
            size,
            no_gap="this part of Figure 4 reports neither the bases nor ChatGPT.",
        ),
        Section(
            "broad-local", "Broad vs local", "Broad against local imitation",
            findings.broad_or_local(r),
            (slot("table-1", "Table 1"),),
            (broad_local(places("Table 1")),),
            places("Table 1"), (two_accounts,),
        ),
        Section(
            "style", "Style", "Style", findings.style(r),
            (slot("table-2", "Table 2"),),
            (by_tokens(places("Table 2"), "Table 2: likeness to a ChatGPT answer, LLaMA 13B"),),
            places("Table 2"),
            ("The dashed blue line is a second sample of ChatGPT itself: as alike as it gets.",),
        ),
        Section(
            "judges", "Judges", "What judges say", findings.judges(r),
            (
                slot("figure-1", "Figure 1 (its centre repeats Figure 4)"),
                slot("figure-3", "Figure 3"),
            ),
            (
                by_tokens(judged_by_tokens, "Figures 1 and 3: by imitation tokens, LLaMA 13B"),
                by_size(judged_by_size, "Figures 1 and 3: by size of the base, 150M tokens"),
            ),
            (*judged_by_tokens, *judged_by_size),
            (
                "Preference has no ChatGPT line: answers are compared with ChatGPT's, and how "
                "often ChatGPT equals itself is not reported. So no share of the gap either.",
            ),
        ),
        Section(
            "toxicity", "Toxicity", "Toxicity", findings.toxicity(r),
            (slot("figure-5", "Figure 5; the axis starts at 0.80"),),
            (by_tokens(places("Figure 5"), "Figure 5: by imitation tokens, LLaMA 13B"),),
            places("Figure 5"),
        ),
        _query_types(paper),
        Section(
            "since-then", "Since then", "Since then", findings.since_then(later),
            (
                FigureSlot(
                    "since-then", "Later studies; the bases' own scores are not reported",
                    "; ".join(dict.fromkeys(record.where for record in later)) + ". Printed.",
                ),
            ),
            tuple(later_tables(later)),
            tuple(later),
            no_gap="these sources don't print the score of each base LM, and absent is not zero.",
        ),
    ]  # fmt: skip


def _source(paper: Paper, caption: str) -> str:
    how = "Printed" if caption.startswith("Table") else "Digitised: read off the figure"
    return f"{paper.about['title']}, arXiv {paper.about['arxiv']}. {caption}. {how}."


def _query_types(paper: Paper) -> Section:
    shares = paper.query_types
    total = sum(shares.values())
    table = Table(
        "Table 5: queries of ShareGPT-Mix by type, printed",
        ("Query type", "Share (%)"),
        tuple((name, f"{share:g}") for name, share in shares.items()),
    )
    slot = FigureSlot("table-5", "Table 5", _source(paper, "Table 5"))
    return Section(
        "query-types", "Query types", "What was asked", findings.query_types(shares),
        (slot,), (table,), (),
        (f"The printed shares add up to {total:g}%.",) if total != 100 else (),
    )  # fmt: skip
