"""Result files of every version of lm-eval 0.4, under any name, and from several sources."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from imitation.evaluation.harness.results import TaskResult, read
from imitation.evaluation.report.files import load
from imitation.evaluation.report.sample_index import Query, Samples
from imitation.evaluation.report.schema import Score, comparable
from imitation.jobs.commands.import_results import import_results, main
from imitation.values import Interval
from tests.evaluation.lm_eval_files import write_result
from tests.evaluation.lm_eval_versions import VERSIONS, number, samples, write


def by_task(path: Path) -> dict[str, TaskResult]:
    return {one.task: one for one in read(path)}


@pytest.mark.parametrize("version", VERSIONS)
def test_each_versions_files_are_read(tmp_path: Path, version: str) -> None:
    write(version, tmp_path)
    found = by_task(tmp_path)
    assert set(found) == set(samples())
    assert {one.model for one in found.values()} == {"org__m"}
    assert {(one.template, one.system, one.shots) for one in found.values()} == {("plain", "", 0)}

    first, second = found["mc_t"].answered()
    assert (first.prompt, first.gold, first.text) == ("Sky?", "blue", "blue")
    # "1" is the number of the choice "0" and the text of the other: the score tells which.
    assert (second.gold, second.text, second.metrics) == ("0", "1", {"acc": 0.0})

    first, second = found["wino_t"].answered()
    assert (first.prompt, first.gold, first.text) == ("It broke; the ___ fell.", "vase", "shelf")
    assert (second.prompt, second.gold, second.text) == (
        "Ann asked Mary since ___ knew.", "Mary", "Mary",
    )  # fmt: skip

    assert found["gen_t"].filters == ("strict", "loose")
    assert [one.text for one in found["gen_t"].answered()] == ["4", "4"]
    assert [one.metrics["exact_match"] for one in found["gen_t"].answered("strict")] == [1.0, 0.0]
    assert [one.text for one in found["gen_t"].answered("loose")] == ["is 4", "is 4"]
    assert json.loads(found["gen_t"].settings) == {"until": ["\n"], "do_sample": False}
    assert found["mc_t"].settings == ""

    roll = found["roll_t"]
    assert [one.text for one in roll.answered()] == [
        "log-likelihood -15.25",
        "log-likelihood -12.50",
    ]
    assert roll.higher_is_better == {"word_perplexity": False}
    lamb = found["lamb_t"]
    assert lamb.higher_is_better == {"perplexity": False, "acc": True}
    assert lamb.scored == ("acc", "none")
    assert [one.text for one in lamb.answered()] == [
        "log-likelihood -0.50, as it would write",
        "log-likelihood -2.50, not what it would write",
    ]


def test_documents_are_the_same_by_every_version(tmp_path: Path) -> None:
    hashes = set()
    for version in VERSIONS:
        write(version, tmp_path / version)
        found = by_task(tmp_path / version)
        hashes.add(tuple(one.doc_hash for task in found for one in found[task].answered()))
    assert len(hashes) == 1


@pytest.mark.parametrize("version", ["0.4.0", "0.4.2", "0.4.9", "0.4.13"])
def test_a_named_file_is_found_with_its_samples(tmp_path: Path, version: str) -> None:
    path = write(version, tmp_path, output="mine.json")
    assert path.stem.startswith("mine")
    for given in (tmp_path, path):
        assert len(list(by_task(given)["mc_t"].answered())) == 2


@pytest.mark.parametrize("version", ["0.4.2", "0.4.13"])
def test_a_renamed_file_keeps_its_samples(tmp_path: Path, version: str) -> None:
    path = write(version, tmp_path)
    (path.parent / "tokenizer.json").write_text('{"model": {}, "results": []}', "utf-8")
    (path.parent / "broken.json").write_text("{", "utf-8")
    path.with_name("anything at all.json").write_text(path.read_text("utf-8"), "utf-8-sig")
    path.unlink()
    assert len(list(by_task(tmp_path)["mc_t"].answered())) == 2


def test_samples_of_another_run_are_not_taken(tmp_path: Path) -> None:
    path = write("0.4.13", tmp_path)
    later = path.with_name("results_2027-01-01T00-00-00.000000.json")
    later.write_text(path.read_text("utf-8"), "utf-8")
    assert by_task(tmp_path)["mc_t"].samples is None
    assert by_task(path)["mc_t"].samples is not None


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("pretrained=org/m,dtype=float", "org__m"),
        ("peft=org/lora,pretrained=org/m", "org__lora"),
        ("model=gpt-4", "gpt-4"),
        ("", "here"),
    ],
)
def test_the_model_before_files_named_it(tmp_path: Path, arguments: str, name: str) -> None:
    write("0.4.0", tmp_path / "here", arguments=arguments)
    assert {one.model for one in read(tmp_path)} == {name}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_of_each_version_becomes_one_of_ours(tmp_path: Path, version: str) -> None:
    write(version, tmp_path / "in")
    report = import_results([tmp_path / "in"], tmp_path / "run", {})
    scores = {(s.task, s.metric, s.filter): s for s in report.scores}
    assert scores["roll_t", "word_perplexity", "none"].value.n == 2
    assert not scores["roll_t", "word_perplexity", "none"].higher_is_better
    assert scores["gen_t", "exact_match", "loose"].value.value == 0.0
    with_samples = Samples(tmp_path / "run" / "samples.sqlite")
    rows = {(s.task, s.doc_id): s.replies["org__m"] for s in with_samples.find(Query()).rows}
    with_samples.close()
    # By the metric that tells of one sample; a log-likelihood is neither right nor wrong.
    assert [rows["lamb_t", n].verdict for n in "01"] == ["right", "wrong"]
    assert rows["roll_t", "0"].score is None
    assert "no word_perplexity" in rows["roll_t", "0"].note


@pytest.mark.parametrize("nothing", [math.nan, None, "N/A", "NaN"])
def test_what_is_no_number_is_missing(tmp_path: Path, nothing: object) -> None:
    path = write_result(tmp_path / "in", "m", "t", [1.0, 0.0])
    table = json.loads(path.read_text("utf-8"))
    table["results"]["t"] |= {"acc,none": nothing, "acc_stderr,none": "N/A", "f1,none": 0.5}
    path.write_text(json.dumps(table), "utf-8")
    lines = path.with_name(path.name.replace("results_", "samples_t_")).with_suffix(".jsonl")
    lines.write_text(lines.read_text("utf-8").replace('"acc": 0.0', '"acc": NaN'), "utf-8")
    report = import_results([tmp_path / "in"], tmp_path / "run", {})
    by_metric = {s.metric: s for s in report.scores}
    assert by_metric["acc"].value.value is None
    assert "NaN" in by_metric["acc"].reason
    assert by_metric["f1"].value == Interval(0.5, None, None, 2)
    assert not report.complete
    assert "NaN" not in (tmp_path / "run" / "report.json").read_text("utf-8").replace("(NaN)", "")
    index = Samples(tmp_path / "run" / "samples.sqlite")
    assert [s.replies["m"].verdict for s in index.find(Query()).rows] == ["right", "missing"]
    index.close()


def test_two_sources_of_one_model_are_both_kept(tmp_path: Path) -> None:
    write_result(tmp_path / "a", "m", "t", [1.0] * 4)
    write_result(tmp_path / "b", "m", "t", [0.0] * 4)
    write_result(tmp_path / "b", "m", "u", [1.0] * 4, date="2026-01-02T04-00-00.000000")
    write_result(tmp_path / "c", "m", "v", [1.0] * 4)
    sources = [tmp_path / name for name in "abc"]
    report = import_results(sources, tmp_path / "run", {"m@b": "imitation"})
    scores = {(s.model, s.task): s.value.value for s in report.scores}
    assert scores["m", "t"] == 1.0
    assert scores["m@b", "t"] == 0.0
    assert scores["m@b", "u"] == 1.0
    assert scores["m", "v"] == 1.0  # another task of the same model: the same run, further on
    assert [(m.id, m.role) for m in report.run.models] == [("m", "base"), ("m@b", "imitation")]
    index = Samples(tmp_path / "run" / "samples.sqlite")
    (first, *_) = index.find(Query(task="t")).rows
    assert {m: r.score for m, r in first.replies.items()} == {"m": 1.0, "m@b": 0.0}
    index.close()
    assert load(tmp_path / "run").scores == report.scores


@pytest.mark.parametrize("version", VERSIONS)
def test_one_source_may_hold_one_model_twice(tmp_path: Path, version: str) -> None:
    for run in ("first", "second"):
        write(version, tmp_path / "in" / run)
    report = import_results([tmp_path / "in", tmp_path / "in" / "first"], tmp_path / "run", {})
    assert [m.id for m in report.run.models] == ["org__m", "org__m@second"]
    values = {s.model for s in report.scores if s.task == "mc_t" and s.value.value == 0.5}
    assert values == {"org__m", "org__m@second"}


def test_where_less_is_better_the_gap_closes_downwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lower = {"higher_is_better": {"t": {"loss": False}}}
    for model, right in (("b", 5), ("i", 15), ("r", 25)):
        values = [0.0] * right + [1.0] * (40 - right)
        write_result(tmp_path / "in", model, "t", values, metric="loss", changes=lower)
    roles = ["--roles", "i=imitation", "r=reference"]
    assert main([str(tmp_path / "in"), *roles, "--out", str(tmp_path / "run")]) == 0
    (gap,) = load(tmp_path / "run").gaps
    assert gap.closed.value == pytest.approx(0.5)
    assert gap.change.value == pytest.approx(-0.25)  # imitation - base, as the table's head says
    printed = capsys.readouterr().out
    assert "loss (lower is better)" in printed
    assert "87.5" not in printed  # no percent of a loss
    index = Samples(tmp_path / "run" / "samples.sqlite")
    assert index.find(Query(verdicts={"b": "wrong", "i": "right"})).total == 10
    index.close()


def test_a_perplexity_is_no_mean_and_has_no_gap(tmp_path: Path) -> None:
    for model in ("b", "i", "r"):
        write("0.4.13", tmp_path / "in" / model, arguments=f"pretrained={model}")
    report = import_results(
        [tmp_path / "in"], tmp_path / "run", {"i": "imitation", "r": "reference"}
    )
    for gap in [gap for gap in report.gaps if gap.task in ("lamb_t", "roll_t")]:
        assert gap.closed.value is None
        assert gap.change.value is None
        assert "perplexity is not the mean" in gap.undefined


def test_an_imitation_names_its_base_where_there_are_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model, right in (("b", 5), ("b2", 20), ("i", 15), ("r", 25)):
        write_result(tmp_path / "in", model, "t", [1.0] * right + [0.0] * (40 - right))
    command = [str(tmp_path / "in"), "--out"]
    roles = ["r=reference", "i=imitation:b"]
    assert main([*command, str(tmp_path / "x"), "--roles", *roles]) == 0
    (gap,) = load(tmp_path / "x").gaps
    assert (gap.base, gap.closed.value) == ("b", pytest.approx(0.5))
    assert not gap.notes
    assert main([*command, str(tmp_path / "y"), "--roles", "r=reference", "i=imitation"]) == 0
    (gap,) = load(tmp_path / "y").gaps
    assert "which of b, b2" in gap.undefined
    capsys.readouterr()
    for wrong, said in (
        ("i=imitation:c", "no model 'c'"), ("r=reference:b", "gives no role"),
        ("i=imitation:", "gives no role"), ("imitation", "gives no role"),
    ):  # fmt: skip
        assert main([*command, str(tmp_path / "z"), "--roles", wrong]) == 2
        assert said in capsys.readouterr().err


TURNS = {"n-shot": {"t": 3}, "chat_template_sha": "0123456789", "lab": {}}


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ({"system_instruction_sha": "aaaabbbbcccc"}, {}, "system instruction: aaaabbbb against no"),
        ({"system_instruction": "Be brief."}, {"system_instruction": "Be long."}, "system"),
        (
            {**TURNS, "fewshot_as_multiturn": True},
            {**TURNS, "fewshot_as_multiturn": False},
            "examples: turns against one message",
        ),
        (
            {"configs": {"t": {"generation_kwargs": {"max_gen_toks": 64, "until": ["."]}}}},
            {"configs": {"t": {"generation_kwargs": {"max_gen_toks": 16, "until": ["."]}}}},
            "generation settings: max_gen_toks 64 against max_gen_toks 16",
        ),
        (
            {"configs": {"t": {"generation_kwargs": {"temperature": 0.7, "do_sample": True}}}},
            {"configs": {"t": {"generation_kwargs": {"do_sample": True}}}},
            "temperature 0.7 against temperature not set",
        ),
        ({"fewshot_as_multiturn": True}, {"fewshot_as_multiturn": False}, ""),  # no examples
        (
            {"configs": {"t": {"output_type": "multiple_choice", "generation_kwargs": {"a": 1}}}},
            {"configs": {"t": {"output_type": "multiple_choice"}}},
            "",
        ),
        ({}, {}, ""),
    ],
)
def test_the_guard_looks_at_how_models_were_asked(
    tmp_path: Path, one: dict, two: dict, said: str
) -> None:
    scores: list[Score] = []
    for model, changes in (("a", one), ("b", two)):
        path = write_result(tmp_path / "in", model, "t", [1.0, 0.0], changes=changes)
        if "multiple_choice" in str(changes):
            next(path.parent.glob("samples_*")).unlink()  # they are of answers that were written
    report = import_results([tmp_path / "in"], tmp_path / "run", {})
    scores = list(load(tmp_path / "run").scores)
    assert scores == list(report.scores)
    found = "; ".join(map(str, comparable(*scores)))
    assert said in found if said else not found


def test_newer_and_older_versions_compare(tmp_path: Path) -> None:
    write("0.4.0", tmp_path / "a", arguments="pretrained=a")
    write("0.4.13", tmp_path / "b", arguments="pretrained=b")
    report = import_results([tmp_path / "a", tmp_path / "b"], tmp_path / "run", {})
    for task in samples():
        first, second = [s for s in report.scores if s.task == task and s.main]
        assert not comparable(first, second)
    assert number("0.4.10") > number("0.4.9.2")
