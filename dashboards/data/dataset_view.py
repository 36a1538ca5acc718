"""HTML of what a dataset holds: counts, conversations, diversity, manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.data.builds import Build
from dashboards.data.new_dataset import STEPS
from dashboards.shell.markdown import plain
from dashboards.shell.refused_lines import refused_html
from dashboards.shell.tables import Table
from imitation.data.library import Dataset, Found
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


def counts_html(build: Build) -> str:
    """Sources and steps: how many went in and out, and why the others went."""
    parts = []
    if build.sources:
        parts.append(_sources_html(build.sources))
    if build.steps:
        rows = tuple(
            (
                _NAMES.get(step["name"], step["name"]),
                f"{step['taken']:,}",
                f"{step['kept']:,}",
                f"{step['taken'] - step['kept']:,}",
                "; ".join(_reasons(step)) or "-",
            )
            for step in build.steps
        )
        table = Table("Steps", ("Step", "In", "Out", "Dropped", "Why"), rows).html()
        parts.append(f'<div class="lab-steps">{table}</div>' + "".join(map(_dropped, build.steps)))
    if build.dataset:
        parts.append(_result_html(build.dataset))
    if not parts:
        return '<p class="lab-quiet">Nothing has been counted yet.</p>'
    return "".join(parts)


def found_html(found: Found, page: int) -> str:
    """A page of conversations, with the way to the pages beside it."""
    if not found.total:
        return '<p class="lab-quiet">No conversation fits.</p>'
    rows = []
    for number, example in found.examples:
        about = [f"{number:,}", example.source, example.id]
        about += [str(example.meta[key]) for key in ("type", "refusal") if example.meta.get(key)]
        talk = [(m.role, _cut(m.content)) for m in example.messages]
        rows.append(f"<li><small>{plain(' · '.join(about))}</small>{talk_html(talk)}</li>")
    last = (found.total - 1) // PAGE
    first, end = page * PAGE + 1, min(found.total, (page + 1) * PAGE)
    return (
        f'<ol class="lab-talks">{"".join(rows)}</ol><div class="lab-history lab-pager">'
        f"{_page('Before', page - 1, page > 0)}<span>{first:,} to {end:,} of {found.total:,}</span>"
        f"{_page('After', page + 1, page < last)}</div>"
    )


def diversity_html(report: Mapping[str, Any] | None, study: Mapping[str, float]) -> str:
    """The mean in words, the nearest pairs, and the mix of query types beside the study's."""
    if not report or not report.get("n"):
        return '<p class="lab-quiet">Diversity was not measured for this dataset.</p>'
    mean, n = report["mean_bleu"], report["n"]
    how = "each compared with each" if report["exact"] else "by an index, which may miss a few"
    said = (
        f"On average a query's nearest other query has BLEU {mean:.1f} ({n:,} queries, {how}). "
        "ShareGPT-Mix: 8; Super-NaturalInstructions: 61. Lower is more varied."
        if mean is not None
        else "A single query has no other to be compared with."
    )
    return (
        f'<p class="lab-note">{plain(said)}</p>{_types_html(report["types"], n, study)}'
        f"{_pairs_html(report['pairs'])}"
    )


def manifest_html(dataset: Dataset) -> str:
    """The manifest as it stands, without the long list of pairs."""
    table = {key: value for key, value in dataset.manifest.items() if key != "diversity"}
    text = json.dumps(table, indent=1, ensure_ascii=False)
    return f'<pre class="lab-log lab-manifest" tabindex="0">{plain(text)}</pre>'


def talk_html(talk: Sequence[tuple[str, str]]) -> str:
    """One conversation, turn by turn, as plain text."""
    return "".join(
        f'<div class="lab-turn lab-turn-{plain(who)}"><b>{plain(who)}</b>'
        f'<div dir="auto">{plain(text)}</div></div>'
        for who, text in talk
    )


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} ... ({len(text):,} characters in all)"


def _page(label: str, to: int, there: bool) -> str:
    off = "" if there else " disabled"
    return f'<button type="button" data-do="page" data-to="{max(0, to)}"{off}>{label}</button>'


def _sources_html(sources: Sequence[Mapping[str, Any]]) -> str:
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
    more = "".join(
        f'<details class="lab-more"><summary>Refused rows of {plain(str(source["name"]))}'
        f"</summary>{refused_html([Refused(**row) for row in source['first_refused']])}</details>"
        for source in sources
        if source["first_refused"]
    )
    return f"{Table('Sources', header, rows).html()}{more}"


def _reasons(step: Mapping[str, Any]) -> list[str]:
    changed = [f"{step['changed']:,} changed"] if step.get("changed") else []
    return changed + [f"{n:,}: {why}" for why, n in list(step["reasons"].items())[:4]]


def _dropped(step: Mapping[str, Any]) -> str:
    if not step["dropped"]:
        return ""
    rows = tuple((d["id"], d["reason"], d["detail"]) for d in step["dropped"])
    name = _NAMES.get(step["name"], step["name"])
    many = step["taken"] - step["kept"]
    caption = f"{name}: {many:,} dropped" + (f", the first {len(rows)}" if many > len(rows) else "")
    table = Table(caption, ("Conversation", "Why", "Seen"), rows).html()
    return (
        f'<details class="lab-more lab-steps"><summary>{plain(caption)}</summary>{table}</details>'
    )


def _result_html(dataset: Dataset) -> str:
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
    note = (
        f"{result['conversations']:,} conversations, {result['tokens']:,} tokens, "
        f"{result['output_tokens']:,} of them in answers (counted by: "
        f"{result['tokens_counted_by']}). SHA-256 {dataset.manifest['sha256']}."
    )
    table = Table("Result", ("Source", "Conversations", "Tokens", "Share"), rows).html()
    return f'{table}<p class="lab-note lab-hash">{plain(note)}</p>'


def _types_html(types: Mapping[str, int], n: int, study: Mapping[str, float]) -> str:
    named = {name: count for name, count in types.items() if name}
    if not named:
        said = "The data doesn't name the type of its queries, so their mix is not known."
        return f'<p class="lab-note">{said}</p>'
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


def _pairs_html(pairs: Sequence[Mapping[str, Any]]) -> str:
    if not pairs:
        return ""
    rows = tuple(
        (f"{pair['bleu']:.0f}", pair["query"][:300], pair["nearest"][:300])
        for pair in pairs[:PAIRS]
    )
    caption = f"The {len(rows)} nearest pairs"
    table = Table(caption, ("BLEU", "Query", "The most similar other one"), rows).html()
    return f'<div class="lab-pairs">{table}</div>'
