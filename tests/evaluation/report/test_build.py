"""From result files to a report: intervals, gaps, what isn't comparable, what is missing."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from imitation.errors import StorageError, UserError
from imitation.evaluation.report import build as build_report
from imitation.evaluation.report import schema
from imitation.evaluation.report.export import export, percent
from imitation.evaluation.report.files import load, save
from imitation.evaluation.report.sample_index import Query, Samples
from imitation.evaluation.report.schema import EvaluatedModel, Report, Run, comparable
from imitation.values import Interval
from tests.evaluation.lm_eval_files import write_result

MODELS = (
    EvaluatedModel("b", "Base", "base", template="chat"),
    EvaluatedModel("i", "Imitation", "imitation", base="b", template="chat"),
    EvaluatedModel("r", "Reference", "reference", template="chat"),
)
RUN = Run(
    "run", "2026-01-02T00:00:00+00:00", ("python",), MODELS, ("t",), versions={"lm_eval": "x"}
)
BASE = [1.0] * 10 + [0.0] * 90
IMITATION = [1.0] * 30 + [0.0] * 70
REFERENCE = [1.0] * 70 + [0.0] * 30


def built(folder: Path, run: Run = RUN, **verdicts: list[float | None]) -> Report:
    save(run, folder)
    for model, values in verdicts.items():
        write_result(folder / "results", model, "t", values)
    return build_report.build(folder)


def test_a_gap_with_its_interval_and_significance(tmp_path: Path) -> None:
    found = built(tmp_path, b=BASE, i=IMITATION, r=REFERENCE)
    (gap,) = found.gaps
    assert gap.closed.value == pytest.approx(20 / 60)
    assert gap.closed.low is not None
    assert 0.15 < gap.closed.low < 20 / 60 < gap.closed.high < 0.55
    assert (gap.change.value, gap.closed.n) == (pytest.approx(0.2), 100)
    assert gap.p_value == pytest.approx(2 / 2**20)  # 20 won, none lost
    assert gap.significant
    assert gap.undefined == ""
    assert found.complete
    assert load(tmp_path) == found
    assert [s.value.n for s in found.scores] == [100] * 3


@pytest.mark.parametrize(
    ("base", "reference", "why"),
    [
        ([1.0, 0.0] * 20, [1.0, 0.0] * 20, "no better"),
        ([0.0] * 18 + [1.0] * 2, [0.0] * 17 + [1.0] * 3, "beyond chance"),
        ([1.0] * 20, [0.0] * 20, "no better"),
    ],
)
def test_a_gap_that_is_not_there_is_undefined_and_says_why(
    tmp_path: Path, base: list[float], reference: list[float], why: str
) -> None:
    (gap,) = built(tmp_path, b=base, i=base, r=reference).gaps
    assert gap.closed.value is None
    assert why in gap.undefined
    assert gap.p_value == 1.0
    assert not gap.significant


def test_the_gap_is_never_clipped(tmp_path: Path) -> None:
    (worse,) = built(tmp_path / "worse", b=IMITATION, i=BASE, r=REFERENCE).gaps
    assert worse.closed.value == pytest.approx(-0.5)
    (better,) = built(tmp_path / "better", b=BASE, i=[1.0] * 100, r=REFERENCE).gaps
    assert better.closed.value == pytest.approx(1.5)


def test_missing_samples_are_counted_never_zero(tmp_path: Path) -> None:
    lacking: list[float | None] = [*IMITATION[:50], *[None] * 50]
    found = built(tmp_path, b=BASE, i=lacking, r=REFERENCE)
    (score,) = [s for s in found.scores if s.model == "i"]
    assert (score.value.value, score.value.n, score.missing) == (0.6, 50, 50)
    assert not found.complete
    (gap,) = found.gaps
    assert gap.closed.n == 50
    assert [d.what for d in gap.caveats] == ["sample set"]
    samples = Samples(tmp_path / "samples.sqlite")
    missing = samples.find(Query(verdicts={"i": "missing"}))
    assert missing.total == 50
    assert missing.rows[0].replies["i"].note == "gone"
    assert missing.rows[0].replies["b"].verdict == "wrong"


def test_a_model_without_results_has_a_reason_and_no_gap(tmp_path: Path) -> None:
    save(RUN, tmp_path)
    line = {
        "event": "score",
        "model": "i",
        "task": "t",
        "metric": "",
        "value": {"value": None, "low": None, "high": None, "n": 0},
        "of": 7,
        "state": "refused",
        "reason": "it has no log-probabilities",
    }
    text = json.dumps(line) + '\n{"event": "score", "mod'
    (tmp_path / "progress.jsonl").write_text(text, "utf-8")
    found = built(tmp_path, b=BASE, r=REFERENCE)
    (score,) = [s for s in found.scores if s.model == "i"]
    assert (score.value.value, score.reason) == (None, "it has no log-probabilities")
    assert found.gaps == ()
    assert not found.complete


def test_scores_that_are_not_comparable_say_how(tmp_path: Path) -> None:
    score = built(tmp_path, b=BASE).scores[0]
    assert comparable(score, score) == []
    assert comparable(score, replace(score, model="other", value=Interval(0, 0, 0, 100))) == []
    for change, what in [
        ({"shots": 5}, "shots"),
        ({"shots": None}, "shots"),
        ({"template": "plain"}, "template"),
        ({"metric": "acc_norm"}, "metric"),
        ({"filter": "strict"}, "metric"),
        ({"task_version": "2.0"}, "task version"),
        ({"samples": "f" * 64}, "sample set"),
        ({"kind": "log-likelihood"}, "kind"),
        ({"task": "u"}, "task"),
    ]:
        (difference,) = comparable(score, replace(score, **change))
        assert difference.what == what
        assert difference.first != difference.second
        assert what in str(difference)


def test_other_conditions_are_a_caveat_on_the_gap(tmp_path: Path) -> None:
    save(RUN, tmp_path)
    for model, values, shots in (("b", BASE, 0), ("i", IMITATION, 0), ("r", REFERENCE, 5)):
        write_result(tmp_path / "results", model, "t", values, shots=shots)
    (gap,) = build_report.build(tmp_path).gaps
    assert [str(c) for c in gap.caveats] == ["shots: 0 against 5"]
    for model, metric in (("b", "acc"), ("r", "f1")):
        write_result(tmp_path / "results", model, "t", BASE, metric=metric, date="2027-01-01T0")
    (gap,) = build_report.build(tmp_path).gaps
    assert "different metrics" in gap.undefined


def test_notes_stay_and_stand_ins_are_named_once(tmp_path: Path) -> None:
    small = replace(RUN, models=tuple(replace(m, stand_in=True) for m in MODELS[:1]))
    save(small, tmp_path)
    write_result(tmp_path / "results", "b", "t", BASE)
    assert len(build_report.build(tmp_path, ["a hole in the sandbox"]).notes) == 2
    save(replace(small, models=tuple(replace(m, stand_in=True) for m in MODELS)), tmp_path)
    note, stand_ins = build_report.build(tmp_path).notes
    assert note == "a hole in the sandbox"
    assert stand_ins.startswith("Base, Imitation, Reference: stand-ins")


def test_a_later_result_replaces_an_earlier_one(tmp_path: Path) -> None:
    save(RUN, tmp_path)
    write_result(tmp_path / "results", "b", "t", [0.0] * 4)
    write_result(tmp_path / "results", "b", "t", [1.0] * 4, date="2026-01-03T00-00-00.1")
    scores = {s.model: s for s in build_report.build(tmp_path).scores}
    assert scores["b"].value.value == 1.0


def test_shares_have_wilsons_interval_and_others_a_bootstrap(tmp_path: Path) -> None:
    whole, half = [1.0] * 5, [0.25, 0.5, 0.75, 0.5] * 2
    scores = {s.model: s for s in built(tmp_path, b=whole, i=half).scores}
    assert scores["b"].value.low == pytest.approx(0.566, abs=0.001)
    low, high = scores["i"].value.low, scores["i"].value.high
    assert low is not None
    assert 0.25 <= low < 0.5 < high <= 0.75


def test_exports_hold_the_same_numbers(tmp_path: Path) -> None:
    found = built(tmp_path, b=BASE, i=[None, *IMITATION[1:]], r=REFERENCE)
    rows = list(csv.DictReader(io.StringIO(export(found, "csv"))))
    assert [float(row["value"]) for row in rows] == [s.value.value for s in found.scores]
    assert [row["missing"] for row in rows] == ["0", "1", "0"]
    assert json.loads(export(found, "json"))["gaps"][0]["task"] == "t"
    text = export(found, "md")
    assert "10.0 [5.5, 17.4] n 100" in text
    assert "(1 missing)" in text
    assert "Not complete" in text
    assert "| t | Imitation | " in text  # by name, not by id
    with pytest.raises(UserError, match="'xml'"):
        export(found, "xml")
    assert percent(Interval(None, None, None, 0)) == "no value"


def test_a_report_of_another_version_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no report\.json"):
        load(tmp_path)
    built(tmp_path, b=BASE)
    path = tmp_path / schema.REPORT
    path.write_text(path.read_text("utf-8").replace('"format": 1', '"format": 99'), "utf-8")
    with pytest.raises(StorageError, match="version 99"):
        load(tmp_path)
    path.write_text('{"format": 1}', "utf-8")
    with pytest.raises(StorageError, match="no report of ours"):
        load(tmp_path)
    path.write_text("[", "utf-8")
    with pytest.raises(StorageError, match="cannot be read"):
        load(tmp_path)


def grouped(folder: Path, run: Run, verdicts: dict[str, dict[str, list[float]]], by_size: bool):
    """A group "g" of tasks, scored as lm-eval does with and without `weight_by_size`."""
    save(run, folder)
    for model, tasks in verdicts.items():
        means = {task: sum(values) / len(values) for task, values in tasks.items()}
        sizes = {task: len(values) if by_size else 1 for task, values in tasks.items()}
        score = sum(sizes[t] * means[t] for t in tasks) / sum(sizes.values())
        for at, (task, values) in enumerate(tasks.items()):
            path = write_result(
                folder / "results",
                model,
                task,
                values,
                date=f"2026-01-0{at + 1}T03-04-05.6",
                docs=task,
            )
        # The last file tells of the group, as lm-eval's one file of a whole run does.
        table = json.loads(path.read_text("utf-8"))
        table["results"]["g"] = {"alias": "g", "acc,none": score, "acc_stderr,none": 0.1}
        table["group_subtasks"] = {"g": list(tasks)}
        path.write_text(json.dumps(table), "utf-8")
    return build_report.build(folder)


def right(n: int, of: int) -> list[float]:
    return [1.0] * n + [0.0] * (of - n)


GROUP = {
    "b": {"big": right(20, 100), "small": right(2, 10)},
    "i": {"big": right(24, 100), "small": right(8, 10)},
    "r": {"big": right(80, 100), "small": right(8, 10)},
}


def test_a_groups_gap_agrees_with_the_scores_beside_it(tmp_path: Path) -> None:
    """Two tasks of 100 and 10 documents, each counting half: 20, 52 and 80 are shown."""
    run = replace(RUN, tasks=("g",))
    found = grouped(tmp_path / "mean", run, GROUP, by_size=False)
    shown = {s.model: s.value for s in found.scores if s.task == "g"}
    (gap,) = found.gaps
    base, imitation, reference = (shown[m].value for m in "bir")
    assert (base, imitation, reference) == (pytest.approx(0.2), pytest.approx(0.52), 0.8)
    assert gap.closed.value == pytest.approx((imitation - base) / (reference - base))
    assert gap.change.value == pytest.approx(imitation - base)
    assert gap.closed.low < gap.closed.value < gap.closed.high
    # Half of the weight rests on ten documents: the interval is as wide as they make it.
    assert gap.closed.high - gap.closed.low > 0.25
    assert shown["i"].low < 0.40 and shown["i"].high > 0.60
    assert shown["i"].n == gap.closed.n == 110
    pooled = grouped(tmp_path / "pooled", run, GROUP, by_size=True)
    (gap,) = pooled.gaps
    shown = {s.model: s.value.value for s in pooled.scores if s.task == "g"}
    assert gap.closed.value == pytest.approx(10 / 66)
    assert gap.closed.value == pytest.approx((shown["i"] - shown["b"]) / (shown["r"] - shown["b"]))


def test_a_group_put_together_in_no_known_way_has_no_gap(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    grouped(folder, replace(RUN, tasks=("g",)), GROUP, by_size=False)
    for path in (folder / "results" / "i").glob("results_*.json"):
        table = json.loads(path.read_text("utf-8"))
        if "g" in table["results"]:
            table["results"]["g"]["acc,none"] = 0.61
            path.write_text(json.dumps(table), "utf-8")
    (gap,) = build_report.build(folder).gaps
    assert gap.closed.value is None and "how the group's score" in gap.undefined
    assert gap.p_value is None


def test_an_imitation_is_never_measured_from_another_base(tmp_path: Path) -> None:
    other = replace(MODELS[1], base="elsewhere")
    run = replace(RUN, models=(MODELS[0], other, MODELS[2]))
    (gap,) = built(tmp_path / "not", run, b=BASE, i=IMITATION, r=REFERENCE).gaps
    assert gap.closed.value is None and gap.change.value is None and gap.p_value is None
    assert "its own base, elsewhere, is not in the run" in gap.undefined
    unknown = replace(run, models=(MODELS[0], replace(other, base=""), MODELS[2]))
    (gap,) = built(tmp_path / "unknown", unknown, b=BASE, i=IMITATION, r=REFERENCE).gaps
    assert gap.closed.value == pytest.approx(20 / 60)
    assert "Which base Imitation was made from is not known; Base, the only one" in gap.notes[0]
    two = replace(unknown, models=(*unknown.models, EvaluatedModel("c", "Second", "base")))
    (gap,) = built(tmp_path / "two", two, b=BASE, c=BASE, i=IMITATION, r=REFERENCE).gaps
    assert gap.closed.value is None and "which of Base, Second" in gap.undefined
    assert load(tmp_path / "two").gaps == (gap,)


def test_a_run_without_a_reference_says_whether_the_imitation_differs(tmp_path: Path) -> None:
    run = replace(RUN, models=MODELS[:2])
    (gap,) = built(tmp_path / "differs", run, b=BASE, i=IMITATION).gaps
    assert (gap.base, gap.imitation, gap.reference) == ("b", "i", "")
    assert (gap.closed.value, gap.undefined) == (None, "there is no reference in the run")
    assert gap.change.value == pytest.approx(0.2) and gap.significant
    assert load(tmp_path / "differs").gaps == (gap,)
    assert "no reference in the run" in export(load(tmp_path / "differs"), "md")
    (gap,) = built(tmp_path / "same", run, b=BASE, i=[1.0] * 12 + [0.0] * 88).gaps
    assert gap.change.value == pytest.approx(0.02) and gap.significant is False


def test_a_barely_better_reference_is_said_beside_the_share(tmp_path: Path) -> None:
    barely = right(24, 100)
    (gap,) = built(tmp_path / "barely", b=BASE, i=IMITATION, r=barely).gaps
    assert gap.closed.value is not None
    assert "barely better than the base here (+0.140 [+0.0" in gap.notes[0]
    assert gap.notes[0] in export(load(tmp_path / "barely"), "md")
    (gap,) = built(tmp_path / "clearly", b=BASE, i=IMITATION, r=REFERENCE).gaps
    assert gap.notes == ()


def test_too_few_samples_have_no_share_of_a_gap(tmp_path: Path) -> None:
    (gap,) = built(tmp_path, b=right(1, 12), i=right(8, 12), r=right(11, 12)).gaps
    assert gap.closed.value is None
    assert gap.undefined == "too few to say: 12 samples, needs 20"


def test_a_report_from_before_notes_is_read(tmp_path: Path) -> None:
    found = built(tmp_path, b=BASE, i=IMITATION, r=REFERENCE)
    path = tmp_path / schema.REPORT
    table = json.loads(path.read_text("utf-8"))
    for gap in table["gaps"]:
        del gap["notes"], gap["difference"]
        del gap["closed"]["least"]
    path.write_text(json.dumps(table), "utf-8")
    assert load(tmp_path).gaps[0].closed.value == found.gaps[0].closed.value
