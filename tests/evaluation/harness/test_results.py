"""lm-eval's own result files: read, or refused with what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imitation.errors import UserError
from imitation.evaluation.harness.results import read
from imitation.evaluation.report.files import load
from imitation.jobs.commands.import_results import import_results, main
from tests.evaluation.lm_eval_files import write_result


def test_a_folder_is_read_with_all_it_says(tmp_path: Path) -> None:
    write_result(tmp_path, "m", "t", [1.0, 0.0, None], shots=3, version=2.5)
    (result,) = read(tmp_path)
    assert (result.model, result.task, result.shots, result.version) == ("m", "t", 3, "2.5")
    assert result.metrics == {("acc", "none"): (0.5, 0.1)}
    assert (result.asked, result.missing, result.generation) == (3, {"2": "gone"}, True)
    first, second = result.answered()
    assert (first.prompt, first.gold, first.text) == ("question 0", "gold 0", "m says 0")
    assert (first.metrics, second.metrics) == ({"acc": 1.0}, {"acc": 0.0})


def test_choices_show_the_likeliest_and_the_right_one(tmp_path: Path) -> None:
    path = write_result(tmp_path, "m", "t", [1.0], output="multiple_choice")
    row = {
        "doc_id": 0, "target": "1", "filter": "none", "metrics": ["acc"], "doc_hash": "h", "acc": 1,
        "arguments": {
            "gen_args_0": {"arg_0": "Sky?", "arg_1": " red"},
            "gen_args_1": {"arg_0": "Sky?", "arg_1": " blue"},
        },
        "filtered_resps": [["-3.5", "False"], ["-0.5", "True"]],
    }  # fmt: skip
    samples = next(tmp_path.rglob("samples_*"))
    samples.write_text(json.dumps(row) + "\n", "utf-8")
    (sample,) = next(iter(read(path))).answered()
    assert (sample.prompt, sample.gold, sample.text) == ("Sky?", "blue", "blue")


@pytest.mark.parametrize(
    ("turns", "shown"),
    [
        ([("user", "Where is Laos?")], "Where is Laos?"),
        ([("user", "1+1?"), ("assistant", "2"), ("user", "2+2?")],
         "[user]\n1+1?\n\n[assistant]\n2\n\n[user]\n2+2?"),
        ([("system", "Be brief."), ("user", "Why?")], "[system]\nBe brief.\n\n[user]\nWhy?"),
    ],
)  # fmt: skip
def test_a_question_is_shown_as_asked_and_a_talk_with_its_speakers(
    tmp_path: Path, turns: list[tuple[str, str]], shown: str
) -> None:
    path = write_result(tmp_path, "m", "t", [1.0])
    samples = next(tmp_path.rglob("samples_*"))
    row = json.loads(samples.read_text("utf-8").splitlines()[0])
    asked = json.dumps([{"role": role, "content": content} for role, content in turns])
    row["arguments"]["gen_args_0"]["arg_0"] = asked
    samples.write_text(json.dumps(row) + "\n", "utf-8")
    (sample,) = next(iter(read(path))).answered()
    assert sample.prompt == shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("not json", "cannot be read as JSON"),
        ("[]", "not a result of lm-eval"),
        ('{"loss": 1}', "it has no results, but loss"),
        ('{"results": {"t": {"acc": 0.5}}, "versions": {"t": 1}}', "before 0.4"),
        ('{"results": {"t": {"acc": 0.5}}, "configs": {}}', "names no filter"),
        ('{"results": {"t": 0.5}, "configs": {}}', "is float, not metrics"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "results_2026.json").write_text(text, "utf-8")
    with pytest.raises(UserError, match=why):
        read(tmp_path)


def test_an_empty_folder_and_a_broken_sample_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        read(tmp_path)
    write_result(tmp_path, "m", "t", [1.0])
    next(tmp_path.rglob("samples_*")).write_text('{"filter": "none"}\n', "utf-8")
    (result,) = read(tmp_path)
    with pytest.raises(UserError, match="line 1 is no sample"):
        list(result.answered())


def test_runs_made_elsewhere_become_a_run_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {"lab": {}, "chat_template_sha": "0123456789"}
    write_result(tmp_path / "a", "base", "t", [0.0] * 30, changes=plain)
    write_result(tmp_path / "b", "ours", "t", [1.0] * 10 + [0.0] * 20, changes=plain)
    write_result(tmp_path / "c", "gpt", "t", [1.0] * 30, changes=plain)
    out = tmp_path / "run"
    sources = [str(tmp_path / name) for name in "abc"]
    roles = ["--roles", "ours=imitation", "gpt=reference"]
    assert main([*sources, *roles, "--out", str(out)]) == 0
    assert "33.3" in capsys.readouterr().out
    report = load(out)
    assert [(m.id, m.role, m.engine) for m in report.run.models] == [
        ("base", "base", "imported"),
        ("ours", "imitation", "imported"),
        ("gpt", "reference", "imported"),
    ]
    (gap,) = report.gaps
    assert gap.closed.value == pytest.approx(1 / 3)
    assert {s.template for s in report.scores} == {"chat 01234567"}
    assert main([*sources, "--out", str(out)]) == 2  # a run already
    assert main([*sources, "--roles", "gpt4=reference", "--out", str(tmp_path / "x")]) == 2
    assert "Did you mean 'gpt'" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "x")]) == 2


def test_results_without_samples_have_scores_but_no_gap(tmp_path: Path) -> None:
    for model in ("b", "i", "r"):
        write_result(tmp_path / "in", model, "t", [1.0, 0.0])
    for path in tmp_path.rglob("samples_*"):
        path.unlink()
    roles = {"i": "imitation", "r": "reference"}
    report = import_results([tmp_path / "in"], tmp_path / "out", roles)  # type: ignore[arg-type]
    assert [s.value.value for s in report.scores] == [0.5] * 3
    assert report.scores[0].value.low == pytest.approx(0.5 - 1.96 * 0.1)
    assert "no samples" in report.gaps[0].undefined
    assert any("not logged" in note for note in report.notes)
