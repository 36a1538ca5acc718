"""HTML of what a dataset holds: counts, conversations, diversity, manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dashboards.data.builds import Build
from dashboards.data.new_dataset import STEPS
from dashboards.shell.refused_lines import refused_html
from dashboards.shell.tables import Table
from dashboards.shell.templates import render
from imitation.data.library import Dataset, Matches
from imitation.values import Refused

PAGE = 10
"""Conversations on a page of the browser."""
LONGEST = 4_000
"""Characters of a message that are shown."""
PAIRS = 20
_NAMES = {name: label for name, (label, _) in STEPS.items()} | {
    "mix": "Mixture",
    "sample": "Token budget",
}


def counts_html(build: Build) -> Markup:
    """Sources and steps: how many went in and out, and why the others went."""
    if not (build.sources or build.steps or build.dataset):
        return render("data/quiet.html", text="Nothing has been counted yet.")
    return render(
        "data/counts.html",
        sources=_sources_html(build.sources),
        refusals=[
            (source["name"], refused_html([Refused(**row) for row in source["first_refused"]]))
            for source in build.sources
            if source["first_refused"]
        ],
        steps=_steps_html(build.steps),
        dropped=[_dropped(step) for step in build.steps if step["dropped"]],
        result=_result_html(build.dataset) if build.dataset else "",
        note=_result_words(build.dataset) if build.dataset else "",
    )


def conversations_html(matches: Matches, page: int) -> Markup:
    """A page of conversations, with the way to the pages beside it."""
    if not matches.total:
        return render("data/quiet.html", text="No conversation fits.")
    rows = []
    for number, example in matches.examples:
        about = [f"{number:,}", example.source, example.id]
        about += [str(example.meta[key]) for key in ("type", "refusal") if example.meta.get(key)]
        turns = [(m.role, _cut(m.content)) for m in example.messages]
        rows.append((" · ".join(about), conversation_html(turns)))
    first, end = page * PAGE + 1, min(matches.total, (page + 1) * PAGE)
    return render(
        "data/conversations.html", rows=rows, page=page, first=first, end=end, total=matches.total
    )


def diversity_html(report: Mapping[str, Any] | None, study: Mapping[str, float]) -> Markup:
    """The mean in words, the nearest pairs, and the mix of query types beside the study's."""
    if not report or not report.get("n"):
        return render("data/quiet.html", text="Diversity was not measured for this dataset.")
    mean, n = report["mean_bleu"], report["n"]
    how = "each compared with each" if report["exact"] else "by an index, which may miss a few"
    words = (
        f"On average a query's nearest other query has BLEU {mean:.1f} ({n:,} queries, {how}). "
        "ShareGPT-Mix: 8; Super-NaturalInstructions: 61. Lower is more varied."
        if mean is not None
        else "A single query has no other to be compared with."
    )
    return render(
        "data/diversity.html",
        mean=words,
        types=_types_html(report["types"], n, study),
        pairs=_pairs_html(report["pairs"]),
    )


def manifest_html(dataset: Dataset) -> Markup:
    """The manifest as it stands, without the long list of pairs."""
    table = {key: value for key, value in dataset.manifest.items() if key != "diversity"}
    return render("data/manifest.html", text=json.dumps(table, indent=1, ensure_ascii=False))


def conversation_html(turns: Sequence[tuple[str, str]]) -> Markup:
    """One conversation, (speaker, text) in turn, as plain text."""
    return render("data/conversation.html", turns=turns)


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} ... ({len(text):,} characters in all)"


def _sources_html(sources: Sequence[Mapping[str, Any]]) -> Markup | str:
    if not sources:
        return ""
    rows = tuple(
        (
            str(source["name"]),
            ", ".join(source["shapes"]) or "-",
            f"{source['rows']:,}",
            f"{source['conversations']:,}",
            f"{source['refused']:,}",
            f"{source['renamed_ids']:,}",
            f"{source['html']:,}" if "html" in source else "-",  # older manifests
            str(source["licence"]),
        )
        for source in sources
    )
    header = (
        "Source", "Shape", "Rows", "Conversations", "Refused", "Ids renamed", "In HTML", "Licence",
    )  # fmt: skip
    return Table("Sources", header, rows).html()


def _steps_html(steps: Sequence[Mapping[str, Any]]) -> Markup | str:
    if not steps:
        return ""
    rows = tuple(
        (
            _NAMES.get(step["name"], step["name"]),
            f"{step['taken']:,}",
            f"{step['kept']:,}",
            f"{step['taken'] - step['kept']:,}",
            "; ".join(_reasons(step)) or "-",
        )
        for step in steps
    )
    return Table("Steps", ("Step", "In", "Out", "Dropped", "Why"), rows).html()


def _reasons(step: Mapping[str, Any]) -> list[str]:
    changed = [f"{step['changed']:,} changed"] if step.get("changed") else []
    return changed + [f"{n:,}: {why}" for why, n in list(step["reasons"].items())[:4]]


def _dropped(step: Mapping[str, Any]) -> tuple[str, Markup]:
    """What a step dropped: a caption, and the first of it as a table."""
    rows = tuple((d["id"], d["reason"], d["detail"]) for d in step["dropped"])
    name = _NAMES.get(step["name"], step["name"])
    many = step["taken"] - step["kept"]
    caption = f"{name}: {many:,} dropped" + (f", the first {len(rows)}" if many > len(rows) else "")
    return caption, Table(caption, ("Conversation", "Why", "Seen"), rows).html()


def _result_html(dataset: Dataset) -> Markup:
    result = dataset.manifest["result"]
    total = result["tokens"] or 1
    rows = tuple(
        (
            name,
            f"{part['conversations']:,}",
            f"{part['tokens']:,}",
            f"{100 * part['tokens'] / total:.0f}%",
        )
        for name, part in result["by_source"].items()
    )
    return Table("Result", ("Source", "Conversations", "Tokens", "Share"), rows).html()


def _result_words(dataset: Dataset) -> str:
    result = dataset.manifest["result"]
    return (
        f"{result['conversations']:,} conversations, {result['tokens']:,} tokens, "
        f"{result['output_tokens']:,} of them in answers (counted by: "
        f"{result['tokens_counted_by']}). SHA-256 {dataset.manifest['sha256']}."
    )


def _types_html(types: Mapping[str, int], n: int, study: Mapping[str, float]) -> Markup | str:
    named = {name: count for name, count in types.items() if name}
    if not named:
        return ""
    names = list(dict.fromkeys([*study, *named]))[:40]
    rows = [
        (
            name,
            f"{100 * named[name] / n:.1f}% (n = {named[name]:,})" if name in named else "none",
            f"{study[name]:g}%" if name in study else "not reported",
        )
        for name in names
    ]
    if types.get(""):
        rows.append(("Type not stated", f"{100 * types[''] / n:.1f}% (n = {types['']:,})", "-"))
    header = ("Query type, as the data names it", "This dataset", "ShareGPT-Mix (Table 5)")
    return Table("Query types", header, tuple(rows)).html()


def _pairs_html(pairs: Sequence[Mapping[str, Any]]) -> Markup | str:
    if not pairs:
        return ""
    rows = tuple(
        (f"{pair['bleu']:.0f}", pair["query"][:300], pair["nearest"][:300])
        for pair in pairs[:PAIRS]
    )
    caption = f"The {len(rows)} nearest pairs"
    return Table(caption, ("BLEU", "Query", "The most similar other one"), rows).html()
