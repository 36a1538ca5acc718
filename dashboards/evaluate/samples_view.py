"""The sample browser as HTML: filters, and each sample with every model's answer and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboards.evaluate.samples import PAGE, Browse, Found
from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.templates import render
from imitation.evaluation.report.sample_index import Reply, Sample, Verdict
from imitation.evaluation.report.schema import EvaluatedModel
from imitation.values import Role

LONGEST = 6_000
"""Characters of a prompt or an answer that are shown."""
_VERDICTS: Mapping[Verdict, str] = {
    "right": "Right",
    "wrong": "Wrong",
    "partly": "Partly",
    "missing": "Missing",
}
_MARKS: Mapping[Verdict, str] = {
    "right": "lab-ok",
    "wrong": "lab-no",
    "partly": "",
    "missing": "lab-missing",
}
_NO_SAMPLE = Markup('<p class="lab-quiet">No sample is like that. Take a filter away.</p>')


@dataclass(frozen=True, slots=True)
class _Chip:
    """A filter that is on or off.

    Attributes:
        do: What it sets.
        to: To what.
        label: What people read.
        pressed: Whether it is on.
        model: Of which model, "" for all.
    """

    do: str
    to: str
    label: str
    pressed: bool
    model: str = ""


@dataclass(frozen=True, slots=True)
class _ShownReply:
    """One model's answer to a sample, as it stands there."""

    name: str
    role: Role | None
    text: str
    verdict: str
    mark: str
    note: str

    @property
    def role_name(self) -> str:
        return ROLE_NAMES[self.role] if self.role else ""


@dataclass(frozen=True, slots=True)
class _ShownSample:
    """A sample as it stands there; texts too long to show are cut."""

    id: int
    number: str
    task: str
    prompt: str
    question: str
    has_examples: bool
    gold: str
    replies: Sequence[_ShownReply]


def filters_html(
    found: Found,
    at: Browse,
    models: Mapping[str, EvaluatedModel],
    gap: Mapping[str, str],
    raters: bool,
) -> Markup:
    """Chips that narrow the samples down: by task, by verdict, and the study's question.

    Args:
        found: What is shown now.
        at: What the browser is set to.
        models: The run's models by id.
        gap: The filter "imitation wrong, reference right", empty where it can't be.
        raters: Whether only samples are shown whose imitation raters or judges preferred.
    """
    groups: list[tuple[str, list[_Chip]]] = []
    if len(found.tasks) > 1:
        tasks = [("", "All tasks"), *((name, name) for name in found.tasks)]
        chips = [_Chip("task", name, label, name == at.task) for name, label in tasks]
        groups.append(("Task", chips))
    if gap:
        on = dict(at.verdicts) == dict(gap)
        preferred = "Raters or judges preferred the imitation"
        chips = [
            _Chip("gap", "off" if on else "on", "Imitation wrong, reference right", on),
            _Chip("raters", "" if raters else "on", preferred, raters),
        ]
        groups.append(("Gap", chips))
    for model in found.models:
        name = models[model].name if model in models else model
        chosen = at.verdicts.get(model, "")
        verdicts = [("", "Any"), *_VERDICTS.items()]
        chips = [_Chip("verdict", key, label, key == chosen, model) for key, label in verdicts]
        groups.append((name, chips))
    return render("evaluate/filters.html", groups=groups)


def samples_html(found: Found, models: Mapping[str, EvaluatedModel]) -> Markup:
    """One page of samples."""
    if not found.total:
        return _NO_SAMPLE
    first = found.page * PAGE
    last = first + len(found.rows)
    count = f"{first + 1:,} to {last:,} of {found.total:,} samples"
    if found.total <= PAGE:
        count = "1 sample" if found.total == 1 else f"{found.total:,} samples"
    return render(
        "evaluate/samples.html",
        count=count,
        page=found.page,
        at_end=last >= found.total,
        samples=[_sample(sample, found.models, models) for sample in found.rows],
    )


def _sample(
    sample: Sample, order: Sequence[str], models: Mapping[str, EvaluatedModel]
) -> _ShownSample:
    question = _last(sample.prompt)
    return _ShownSample(
        id=sample.id,
        number=sample.doc_id,
        task=sample.task,
        prompt=_cut(sample.prompt),
        question=question,
        has_examples=question != sample.prompt,
        gold=_cut(sample.gold),
        replies=[
            _reply(models.get(model), model, sample.replies[model])
            for model in order
            if model in sample.replies
        ],
    )


def _reply(model: EvaluatedModel | None, identity: str, reply: Reply) -> _ShownReply:
    return _ShownReply(
        name=model.name if model else identity,
        role=model.role if model else None,
        text=_cut(reply.text),
        verdict=_VERDICTS[reply.verdict],
        mark=_MARKS[reply.verdict],
        note=_cut(reply.note),
    )


def _last(prompt: str) -> str:
    """The last block of a prompt: the question after its examples."""
    return prompt.rstrip().rpartition("\n\n")[2][:400]


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}\n[the first {LONGEST:,} of {len(text):,} characters]"
