"""The sample browser as HTML: filters, and each sample with every model's answer and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboards.evaluate.samples import PAGE, Browse, Found
from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.markdown import plain
from imitation.evaluation.report.sample_index import Reply, Sample
from imitation.evaluation.report.schema import EvaluatedModel

LONGEST = 6_000
"""Characters of a prompt or an answer that are shown."""
_VERDICTS = {"right": "Right", "wrong": "Wrong", "partly": "Partly", "missing": "Missing"}
_MARKS = {"right": "lab-ok", "wrong": "lab-no", "partly": "", "missing": "lab-missing"}


def filters_html(
    found: Found,
    at: Browse,
    models: Mapping[str, EvaluatedModel],
    gap: Mapping[str, str],
    raters: bool,
) -> str:
    """Chips that narrow the samples down: by task, by verdict, and the study's question.

    Args:
        found: What is shown now.
        at: What the browser is set to.
        models: The run's models by id.
        gap: The filter "imitation wrong, reference right", empty where it can't be.
        raters: Whether only samples are shown whose imitation raters or judges preferred.
    """
    rows = []
    if len(found.tasks) > 1:
        tasks = [("", "All tasks"), *((name, name) for name in found.tasks)]
        chips = (_chip("task", name, label, name == at.task) for name, label in tasks)
        rows.append(_group("Task", "".join(chips)))
    if gap:
        on = dict(at.verdicts) == dict(gap)
        chips = _chip("gap", "off" if on else "on", "Imitation wrong, reference right", on)
        told = "Raters or judges preferred the imitation"
        chips += _chip("raters", "" if raters else "on", told, raters)
        rows.append(_group("Gap", chips))
    for model in found.models:
        name = models[model].name if model in models else model
        set_to = at.verdicts.get(model, "")
        chips = _chip("verdict", "", "Any", not set_to, model)
        chips += "".join(
            _chip("verdict", key, label, key == set_to, model) for key, label in _VERDICTS.items()
        )
        rows.append(_group(name, chips))
    return f'<div class="lab-filters">{"".join(rows)}</div>'


def samples_html(found: Found, models: Mapping[str, EvaluatedModel]) -> str:
    """One page of samples."""
    if not found.total:
        return '<p class="lab-quiet">No sample is like that. Take a filter away.</p>'
    first = found.page * PAGE
    last = first + len(found.rows)
    count = f"{first + 1:,} to {last:,} of {found.total:,} samples"
    if found.total <= PAGE:
        count = "1 sample" if found.total == 1 else f"{found.total:,} samples"
    at_end = last >= found.total
    pager = (
        f'<div class="lab-meta lab-pager"><span>{count}</span><span class="lab-buttons">'
        f'<button type="button" data-do="page" data-to="{found.page - 1}"'
        f"{' disabled' if not found.page else ''}>Previous page</button>"
        f'<button type="button" data-do="page" data-to="{found.page + 1}"'
        f"{' disabled' if at_end else ''}>Next page</button></span></div>"
    )
    return pager + "".join(_sample(sample, found.models, models) for sample in found.rows) + pager


def _sample(sample: Sample, order: Sequence[str], models: Mapping[str, EvaluatedModel]) -> str:
    columns = "".join(
        _reply(models.get(model), model, sample.replies[model])
        for model in order
        if model in sample.replies
    )
    several = len(sample.replies) > 1
    link = (
        f'<button type="button" data-do="blind" data-id="{sample.id}">Vote blind</button>'
        f'<button type="button" data-do="compare" data-id="{sample.id}">Open in Compare</button>'
        if several
        else ""
    )
    prompt, asked = plain(_cut(sample.prompt)), _last(sample.prompt)
    shown = (
        f'<details class="lab-earlier"><summary dir="auto">{plain(asked)}</summary>'
        f'<pre class="lab-plain">{prompt}</pre></details>'
        if asked != sample.prompt
        else f'<p class="lab-question" dir="auto">{prompt}</p>'
    )
    return (
        f'<section class="lab-sample" aria-label="Sample {plain(sample.doc_id)}">'
        f'<div class="lab-meta"><span>{plain(sample.task)} · {plain(sample.doc_id)}</span>'
        f'<span class="lab-buttons">{link}</span></div>{shown}'
        f'<p class="lab-note">Gold: <b>{plain(_cut(sample.gold))}</b></p>'
        f'<div class="lab-cols">{columns}</div></section>'
    )


def _reply(model: EvaluatedModel | None, identity: str, reply: Reply) -> str:
    role = f" lab-role-{model.role}" if model else ""
    label = f"<i>{ROLE_NAMES[model.role]}</i> {plain(model.name)}" if model else plain(identity)
    verdict = reply.verdict
    text = plain(_cut(reply.text)) if reply.text else "<i>nothing</i>"
    note = f"<small>{plain(_cut(reply.note))}</small>" if reply.note else ""
    return (
        f'<section class="lab-col{role}"><h2>{label}</h2>'
        f'<div class="lab-text"><pre class="lab-plain" dir="auto">{text}</pre></div>'
        f'<div class="lab-strip"><span class="{_MARKS[verdict]}">{_VERDICTS[verdict]}</span>'
        f"{note}</div></section>"
    )


def _group(label: str, chips: str) -> str:
    return (
        f'<div class="lab-filter" role="group" aria-label="{plain(label)}">'
        f"<span>{plain(label)}</span>{chips}</div>"
    )


def _chip(do: str, to: str, label: str, pressed: bool, model: str = "") -> str:
    of = f' data-model="{plain(model)}"' if model else ""
    return (
        f'<button type="button" class="lab-toggle" data-do="{do}" data-to="{plain(to)}"{of} '
        f'aria-pressed="{str(pressed).lower()}">{plain(label)}</button>'
    )


def _last(prompt: str) -> str:
    """The last block of a prompt: the question after its examples."""
    return prompt.rstrip().rpartition("\n\n")[2][:400]


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}\n[the first {LONGEST:,} of {len(text):,} characters]"
