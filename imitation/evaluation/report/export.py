"""A report as CSV or Markdown; as JSON it is `imitation.evaluation.report.files.as_json`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from imitation.errors import UserError
from imitation.evaluation.report.files import as_json
from imitation.evaluation.report.schema import Report, Score, is_share
from imitation.spreadsheet import csv_text
from imitation.validation import nearest
from imitation.values import Interval


def export(report: Report, form: str) -> str:
    """The report in a form: "json", "csv" or "md".

    Raises:
        UserError: Another form.
    """
    if form not in FORMS:
        raise UserError(f"There is no form {form!r}.", nearest(form, FORMS))
    return FORMS[form](report)


def as_csv(report: Report) -> str:
    """One line a score, unrounded; empty where there is no value."""
    columns = ["run", "task", "group", "model", "role", "metric", "value", "low", "high", "n"]
    columns += ["missing", "kind", "shots", "template", "task_version", "sample_set", "reason"]
    rows: list[list[object]] = [list(columns)]
    roles = {model.id: model.role for model in report.run.models}
    for s in report.scores:
        v = s.value
        who = (report.run.id, s.task, s.group, s.model, roles.get(s.model, ""), s.metric)
        what = (v.value, v.low, v.high, v.n, s.missing, s.kind, s.shots, s.template)
        rows.append([*who, *what, s.task_version, s.samples, s.reason])
    return csv_text(rows)


def as_markdown(report: Report) -> str:
    """Scores, gaps and notes as tables for people."""
    run = report.run
    lines = [f"# Evaluation {run.id}", ""]
    lines += [] if report.complete else ["**Not complete**: see the reasons below.", ""]
    head = "| task | metric | shots | " + " | ".join(_escaped(m.name) for m in run.models) + " |"
    lines += [head, "| --- | --- | ---: |" + " ---: |" * len(run.models)]
    shown = {(s.task, s.model): s for s in report.scores if s.main and not s.group}
    for task in run.tasks:
        scores = [shown.get((task, model.id)) for model in run.models]
        first = next((s for s in scores if s and s.metric), None)
        shots = "" if first is None or first.shots is None else first.shots
        cells = [_cell(s) for s in scores]
        metric = "" if first is None else first.metric
        metric += "" if first is None or first.higher_is_better else " (lower is better)"
        lines.append(f"| {task} | {metric} | {shots} | "
                     + " | ".join(cells) + " |")  # fmt: skip
    lines += [
        "",
        "Shares in percent, other scores as numbers; 95% intervals; n is the number of samples.",
        "",
    ]
    lines += _gap_lines(report)
    names = _names(report)
    reasons = [f"- {names[s.model]}, {s.task}: {s.reason}" for s in report.scores if s.reason]
    notes = [*reasons, *(f"- {note}" for note in report.notes)]
    lines += ["## Notes", "", *notes, ""] if notes else []
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    lines += [f"Made {run.created} with {versions}; seed {run.seed}.", "", "```"]
    lines += [shlex.join(run.argv), "```"]
    return "\n".join(lines) + "\n"


def _gap_lines(report: Report) -> list[str]:
    if not report.gaps:
        return []
    lines = ["## Gap closed", "", "| task | imitation | gap closed | imitation - base | p |"]
    lines.append("| --- | --- | ---: | ---: | ---: |")
    names = _names(report)
    for gap in report.gaps:
        closed = percent(gap.closed) if not gap.undefined else f"undefined: {gap.undefined}"
        p = "" if gap.p_value is None else f"{gap.p_value:.3g}"
        cells = (
            gap.task,
            _escaped(names[gap.imitation]),
            closed,
            written(gap.change, gap.metric),
            p,
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for gap in report.gaps:
        of = f"{gap.task}, {names[gap.imitation]}"
        lines += [f"- {of}: not alike in {c}" for c in gap.caveats]
        lines += [f"- {of}: {note}" for note in gap.notes]
    return [*lines, ""]


def _names(report: Report) -> dict[str, str]:
    return {model.id: model.name for model in report.run.models}


def percent(value: Interval) -> str:
    """A share as "12.3 [10.1, 14.9] n 264"; "no value" where there is none."""
    if value.value is None:
        return "no value"
    ends = "" if value.low is None or value.high is None else (
        f" [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    )  # fmt: skip
    return f"{100 * value.value:.1f}{ends} n {value.n}"


def written(value: Interval, metric: str) -> str:
    """A value of a metric: a share in percent, else as it is."""
    if is_share(metric) or value.value is None:
        return percent(value)
    ends = "" if value.low is None or value.high is None else (
        f" [{value.low:.4g}, {value.high:.4g}]"
    )  # fmt: skip
    return f"{value.value:.4g}{ends} n {value.n}"


def _cell(score: Score | None) -> str:
    if score is None:
        return "not run"
    missing = f" ({score.missing} missing)" if score.missing else ""
    return written(score.value, score.metric) + missing if not score.reason else "not measured"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


FORMS: Mapping[str, Callable[[Report], str]] = {
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}
