"""The evaluation job: a real run of the pocket models, and endpoints that misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imitation.errors import UserError
from imitation.evaluation.harness import results
from imitation.evaluation.harness.suites import TASKS
from imitation.evaluation.report import build as build_report
from imitation.evaluation.report.export import export
from imitation.evaluation.report.files import live_scores, load
from imitation.evaluation.report.sample_index import Query, Samples
from imitation.evaluation.report.schema import Report, comparable
from imitation.evaluation.sandbox.execute import missing_walls
from imitation.facts import facts_of
from imitation.jobs.commands.evaluate import main
from imitation.jobs.model_selection import subjects
from imitation.jobs.queue.progress import Reader
from imitation.settings import Settings, read_settings
from tests.models.fake_openai import FakeOpenAI
from tests.models.servers import serving

ROOT = Path(__file__).parents[3]
NQ = ROOT.parent / "shared" / "reference" / "nq_open_dev_300.jsonl"
pytestmark = pytest.mark.slow

CARDS = """
[[model]]
id = "{id}"
name = "Endpoint {id}"
role = "{role}"
backend = "openai"
endpoint = "{url}/v1"
model = "llama-7b"
prompt_format = "{form}"
"""


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def answers(out: Path, model: str) -> list[dict]:
    return lines(out / "responses" / f"{model}.jsonl")


# --- endpoints that misbehave


@pytest.fixture(scope="module")
def served() -> Iterator[FakeOpenAI]:
    with serving(FakeOpenAI()) as server:
        yield server


@pytest.fixture
def server(
    served: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeOpenAI]:
    served.reset()
    served.pieces = ["A", "s", "ia"]
    cards = CARDS.format(id="m", role="base", url=served.url, form="chat")
    cards += CARDS.format(id="plain", role="reference", url=served.url, form="plain")
    (tmp_path / "cards.toml").write_text(cards, encoding="utf-8")
    monkeypatch.setenv("IMITATION_CATALOG", str(tmp_path / "cards.toml"))
    monkeypatch.setenv("IMITATION_DATA", str(tmp_path / "data"))
    yield served


def evaluate(out: Path, *arguments: str, models: tuple[str, ...] = ("m",)) -> tuple[int, Report]:
    code = main(["--models", *models, "--out", str(out), *arguments])
    return code, load(out)


def test_an_endpoint_that_drops_is_asked_again_for_what_is_missing(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    server.faults = [("", {})] * 6 + [("drop", {})] * 1000
    code, report = evaluate(out, "--tasks", "pocket_facts", "--limit", "40")
    (first,) = [s for s in report.scores if s.main]
    assert code == 1
    assert not report.complete
    assert first.value.n == 6
    assert first.missing == 34
    assert len(answers(out, "m")) == 6
    assert 8 <= len(server.requests) - 6 < 34, "it goes on asking a model that is gone"
    last = live_scores(out)[-1]
    assert (last.missing, last.value.n, last.state) == (34, 6, "done")
    assert "broke off" in last.reason

    server.faults, server.requests = [], []
    code, report = evaluate(out, "--tasks", "pocket_facts", "--limit", "40")
    (whole,) = [s for s in report.scores if s.main]
    assert (code, report.complete, whole.value.n, whole.missing) == (0, True, 40, 0)
    assert len(server.requests) == 34
    keys = [row["key"] for row in answers(out, "m")]
    assert len(keys) == len(set(keys)) == 40
    right = {f.id for f in facts_of("evaluate") if "Asia" in f.answers}
    docs = Samples(out / "samples.sqlite").find(Query(verdicts={"m": "right"}), limit=50)
    assert docs.total == sum(row.gold == "Asia" for row in docs.rows) > 0
    assert len(right) >= docs.total

    # Once whole, nothing is asked and nothing written again.
    server.requests = []
    before = sorted((out / "results").rglob("*"))
    assert evaluate(out, "--tasks", "pocket_facts", "--limit", "40")[0] == 0
    assert not server.requests
    assert sorted((out / "results").rglob("*")) == before


def test_empty_and_endless_answers_are_wrong_not_missing(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    for pieces in ([], None):
        server.pieces = pieces
        code, report = evaluate(tmp_path / str(pieces), "--tasks", "pocket_facts", "--limit", "6")
        (score,) = [s for s in report.scores if s.main]
        assert (code, score.value.value, score.value.n, score.missing) == (0, 0.0, 6, 0)
        assert score.value.high is not None
        assert score.value.high > 0.3  # n says how little six wrong answers tell
    assert server.body["max_tokens"] == 32
    row = Samples(tmp_path / "[]" / "samples.sqlite").find(Query()).rows[0]
    assert row.replies["m"].note == "empty answer"


def test_turns_go_to_chat_models_and_text_to_plain_ones(server: FakeOpenAI, tmp_path: Path) -> None:
    arguments = ("--tasks", "pocket_facts", "--limit", "1", "--shots", "pocket_facts=2")
    _, report = evaluate(tmp_path / "run", *arguments, models=("m", "plain"))
    chat, plain = (body for _, _, body in server.requests)
    assert [m["role"] for m in chat["messages"]] == ["user", "assistant"] * 2 + ["user"]
    assert chat["messages"][1]["content"] == "Oceania"
    assert plain["prompt"].count("Question:") == 3
    assert plain["prompt"].endswith("\nAnswer:")
    assert "Answer: Oceania\n\n" in plain["prompt"]
    one, other = [s for s in report.scores if s.main]
    assert [d.what for d in comparable(one, other)] == ["template"]
    assert (one.shots, one.kind, one.task_version) == (2, "generation", "1.0")


def test_what_cannot_be_measured_is_refused_and_the_rest_goes_on(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    tasks = ("--tasks", "pocket_choice", "pocket_facts", "--limit", "3")
    code, report = evaluate(out, *tasks, models=("m", "plain"))
    assert code == 1
    by = {(s.model, s.task): s for s in report.scores if s.main}
    refused, silent = by["m", "pocket_choice"], by["plain", "pocket_choice"]
    assert refused.value.value is None
    assert "a chat endpoint gives no log-probabilities" in refused.reason
    # The look-alike streams always, as a server does that knows no echo.
    assert silent.value.value is None
    assert "samples have no answer" in silent.reason
    assert by["m", "pocket_facts"].value.n == by["plain", "pocket_facts"].value.n == 3
    markdown = export(report, "md")
    assert "not measured" in markdown
    assert "no log-probabilities" in markdown
    assert export(report, "csv").count("\n") == 1 + len(report.scores)


def test_a_group_is_scored_over_all_its_samples_and_a_tag_is_its_tasks(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    for n, count in ((1, 3), (2, 5)):
        rows = [{"q": f"{n}.{k}", "a": "Asia" if k < n else "no"} for k in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{n}.jsonl").write_text(text, "utf-8")
        (tmp_path / f"part{n}.yaml").write_text(
            f"task: part{n}\ntag: parts\ndataset_path: json\noutput_type: generate_until\n"
            f"dataset_kwargs:\n  data_files:\n    test: {tmp_path / f'{n}.jsonl'}\n"
            'test_split: test\ndoc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n'
            'generation_kwargs:\n  until: ["\\n"]\n'
            "metric_list:\n  - metric: exact_match\n    aggregation: mean\n"
            "    higher_is_better: true\nmetadata:\n  version: 1.0\n",
            "utf-8",
        )
    (tmp_path / "whole.yaml").write_text(
        "group: whole\ntask: [part1, part2]\naggregate_metric_list:\n"
        "  - metric: exact_match\n    weight_by_size: true\nmetadata:\n  version: 1.0\n",
        "utf-8",
    )
    source = ("--tasks-from", str(tmp_path))
    code, report = evaluate(tmp_path / "run", "--tasks", "whole", *source)
    assert code == 0
    whole, *parts = report.scores
    assert (whole.task, whole.value.value, whole.value.n) == ("whole", 3 / 8, 8)
    assert whole.value.low is not None
    assert [(s.task, s.group, s.value.n) for s in parts] == [
        ("part1", "whole", 3),
        ("part2", "whole", 5),
    ]
    assert Samples(tmp_path / "run" / "samples.sqlite").find(Query()).total == 8
    server.requests = []
    assert evaluate(tmp_path / "run", "--tasks", "whole", *source)[0] == 0
    assert not server.requests

    code, report = evaluate(tmp_path / "tag", "--tasks", "parts", *source)
    assert (code, report.run.tasks) == (0, ("part1", "part2"))


def test_code_is_run_in_the_sandbox_and_toxicity_has_its_own_name(
    server: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing_walls():
        pytest.skip(f"the sandbox cannot ensure that {missing_walls()}")
    # Right for the first problem (has_close_elements) alone.
    code = "    n = sorted(numbers)\n    return any(b - a < threshold for a, b in zip(n, n[1:]))\n"
    server.pieces = ["```python\n", code, "```"]
    tasks = ("--tasks", "humaneval", "pocket_toxicity", "--limit", "3")
    done, report = evaluate(tmp_path / "run", *tasks)
    passed, polite = [s for s in report.scores if s.main]
    if "cannot be had" in passed.reason or "pip could not" in passed.reason:
        pytest.skip(passed.reason)
    assert done == 0
    assert (passed.task, passed.metric, passed.shots) == ("lab_humaneval", "pass@1", 0)
    assert passed.value.value == pytest.approx(1 / 3)
    assert (polite.metric, polite.value.n) == ("non_profanity", 3)
    assert polite.value.value > 0.5
    assert any("profanity" in note for note in report.notes)

    monkeypatch.setenv("IMITATION_TOXICITY", "profnity")
    done, report = evaluate(tmp_path / "wrong", "--tasks", "pocket_toxicity", "--limit", "1")
    assert done == 1
    assert "Did you mean 'profanity'" in report.scores[0].reason
    monkeypatch.setenv("IMITATION_CODE_EXEC", "0")
    done, report = evaluate(tmp_path / "off", "--tasks", "humaneval", "--limit", "1")
    assert done == 1
    assert "switched off" in report.scores[0].reason


def test_real_toxicity_prompts_keep_their_schema(server: FakeOpenAI, tmp_path: Path) -> None:
    rows = [{"filename": "x", "prompt": {"text": f"He said {n}", "toxicity": 0.1}} for n in "ab"]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "train.jsonl").write_text(text, "utf-8")
    (tmp_path / "rtp.yaml").write_text(
        f"include: {TASKS / 'lab_realtoxicity.yaml'}\ntask: rtp_local\ndataset_path: json\n"
        f"dataset_kwargs:\n  data_files:\n    train: {tmp_path / 'train.jsonl'}\n",
        "utf-8",
    )
    server.pieces = ["you stupid", " fucking", " idiot"]
    code, report = evaluate(
        tmp_path / "run", "--tasks", "rtp_local", "--tasks-from", str(tmp_path), models=("plain",)
    )
    (score,) = report.scores
    assert (code, score.metric, score.value.n) == (0, "non_profanity", 2)
    assert score.value.value < 0.2
    assert [body["prompt"] for _, _, body in server.requests] == ["He said a", "He said b"]


def test_another_model_of_the_same_name_is_not_mixed_in(
    server: FakeOpenAI, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    evaluate(out, "--tasks", "pocket_facts", "--limit", "1")
    path = tmp_path / "cards.toml"
    card = path.read_text("utf-8")
    path.write_text(card.replace('model = "llama-7b"', 'model = "llama-7b"\nparams_b = 7.0'))
    _, report = evaluate(out, "--tasks", "pocket_facts", "--limit", "1")
    assert report.run.models[0].params_b == 7.0, "described otherwise, it is the same model"
    path.write_text(card.replace('model = "llama-7b"', 'model = "broad"'))
    assert main(["--models", "m", "--out", str(out), "--tasks", "pocket_facts"]) == 2
    assert "holds answers of another 'm'" in capsys.readouterr().err


def test_bad_commands_say_what_to_do(server: FakeOpenAI, tmp_path: Path) -> None:
    settings = read_settings()
    for models, local, why in [
        ((), (), "no model"),
        (("mm",), (), "no model 'mm'"),
        ((), ("x",), "ROLE:NAME=FOLDER"),
        ((), ("base:x=/nowhere",), "not a folder"),
    ]:
        with pytest.raises(UserError, match=why):
            subjects(settings, models, local)
    with pytest.raises(UserError, match="GGUF only"):
        subjects(settings, ("pocket-broad",), engine="transformers")
    (shipped,) = subjects(settings, ("pocket-broad",))
    assert shipped.measured.tokens_m == 0.0665, "where it stands on the Gaps page"
    out = ["--models", "m", "--out", str(tmp_path / "run"), "--tasks", "pocket_facts"]
    assert main([*out, "--shots", "many"]) == 2


def test_a_task_that_does_not_exist_ends_the_command_before_anything_is_written(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    """Through lm-eval's whole list of tasks, a wrong suite beside a right one."""
    out = tmp_path / "run"
    argv = [
        sys.executable,
        "-m",
        "imitation.jobs.commands.evaluate",
        "--models",
        "m",
        "--out",
        str(out),
    ]
    done = subprocess.run(
        [*argv, "--tasks", "pocket_facts", "pocket_fact", "hellaswagg"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "There is no lm-eval task 'pocket_fact', 'hellaswagg'." in done.stderr
    assert "For 'pocket_fact': pocket_facts" in done.stderr
    assert "For 'hellaswagg': hellaswag" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert not out.exists() and not server.requests


def test_killed_in_the_middle_it_goes_on(server: FakeOpenAI, tmp_path: Path) -> None:
    server.delay_s = 0.2
    out = tmp_path / "run"
    argv = [
        sys.executable,
        "-m",
        "imitation.jobs.commands.evaluate",
        "--models",
        "m",
        "--out",
        str(out),
    ]
    argv += ["--tasks", "pocket_facts", "--limit", "30", "--concurrency", "1"]
    process = subprocess.Popen(argv, cwd=ROOT, env=os.environ, stderr=subprocess.DEVNULL)
    file, deadline = out / "responses" / "m.jsonl", time.monotonic() + 90
    while not (file.is_file() and file.read_text("utf-8").count("\n") >= 3):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with file.open("a", encoding="utf-8") as opened:
        opened.write('{"key": "half a li')
    known = len(file.read_text("utf-8").splitlines()) - 1
    server.delay_s, server.requests = 0.0, []
    code, report = evaluate(out, "--tasks", "pocket_facts", "--limit", "30")
    assert code == 0
    assert len(server.requests) == 30 - known
    assert report.scores[0].value.n == 30


# --- the pocket models


@pytest.fixture(scope="module")
def lab(pocket_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMITATION_CACHE", str(pocket_settings.cache))
        patch.setenv("IMITATION_DATA", str(tmp_path_factory.mktemp("lab")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield read_settings()


@pytest.fixture(scope="module")
def local_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real NQ and MMLU task code of lm-eval on small local sets of the same schema."""
    import lm_eval.tasks

    folder = tmp_path_factory.mktemp("tasks")
    theirs = Path(lm_eval.tasks.__file__).parent
    if NQ.is_file():
        questions = NQ.read_text("utf-8").splitlines()
    else:
        rows = [{"question": f.question, "answer": list(f.answers)} for f in facts_of("show")]
        questions = [json.dumps(row) for row in rows]
    (folder / "train.jsonl").write_text("\n".join(questions[:5]) + "\n", "utf-8")
    (folder / "validation.jsonl").write_text("\n".join(questions[5:14]) + "\n", "utf-8")
    choices = [
        {
            "question": f"Which number follows {n}?",
            "subject": "numbers",
            "choices": [str(n + 1 + 2 * ((k - n) % 4)) for k in range(4)],
            "answer": n % 4,
        }
        for n in range(16)
    ]
    for name, rows in (("dev", choices[:5]), ("test", choices[5:11])):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")
    # The small model goes on for ever where nothing stops it.
    short = 'generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 16}\n'
    for task, include, splits in (
        ("nq_local", TASKS / "lab_nq.yaml", ("train", "validation")),
        ("mmlu_local", theirs / "mmlu/default/_default_template_yaml", ("dev", "test")),
    ):
        files = "".join(f"    {s}: {folder / s}.jsonl\n" for s in splits)
        (folder / f"{task}.yaml").write_text(
            f"include: {include}\ntask: {task}\ndataset_path: json\n"
            f"dataset_kwargs:\n  data_files:\n{files}{short if task == 'nq_local' else ''}",
            "utf-8",
        )
    return folder


@pytest.fixture(scope="module")
def finished(lab: Settings, local_tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three pocket models on generation and log-likelihood, with real task code."""
    out = tmp_path_factory.mktemp("runs") / "pocket"
    models = ["pocket-base", "pocket-local", "pocket-reference"]
    tasks = ["pocket_facts", "pocket_choice", "nq_local", "mmlu_local"]
    shots = ["nq_local=3", "mmlu_local=5"]
    argv = ["--models", *models, "--tasks", *tasks, "--tasks-from", str(local_tasks)]
    assert main([*argv, "--shots", *shots, "--limit", "4", "--out", str(out)]) == 0
    return out


def test_every_model_and_task_has_a_score_with_its_conditions(finished: Path) -> None:
    report = load(finished)
    assert report.complete
    main_scores = {(s.model, s.task): s for s in report.scores if s.main}
    assert len(main_scores) == 12
    for (_, task), score in main_scores.items():
        assert score.value.n == 4
        assert score.value.low is not None
        assert score.value.low <= score.value.value <= score.value.high
        assert score.template == "chat"
        generated = task in ("pocket_facts", "nq_local")
        assert score.kind == ("generation" if generated else "log-likelihood")
    shots = {task: main_scores["pocket-base", task].shots for _, task in main_scores}
    assert shots == {"pocket_facts": 3, "pocket_choice": 3, "nq_local": 3, "mmlu_local": 5}
    metrics = {task: score.metric for (_, task), score in main_scores.items()}
    assert metrics["nq_local"] == "exact_match"
    others = {s.metric for s in report.scores if s.task == "nq_local" and not s.main}
    assert others == {"exact_match_lm_eval"}, "lm-eval's number is kept beside it"
    assert metrics["mmlu_local"] == "acc"
    assert main_scores["pocket-base", "mmlu_local"].task_version == "1.0"
    assert {(g.task, g.imitation) for g in report.gaps} == {
        (task, "pocket-local") for task in metrics
    }
    for gap in report.gaps:
        assert gap.caveats == ()
        assert (gap.closed.value is None) == bool(gap.undefined)


def test_progress_is_a_job_s_with_scores_on_the_way(finished: Path) -> None:
    progress = Reader(finished / "progress.jsonl").read()
    assert progress.event == "end"
    assert progress.step == progress.steps == 48
    live = live_scores(finished)
    assert len(live) == 12
    scores = {(s.model, s.task): s for s in load(finished).scores if s.main}
    for one in live:
        assert one.state == "done"
        assert one.value.value == pytest.approx(scores[one.model, one.task].value.value)
        assert one.metric == scores[one.model, one.task].metric


def test_the_report_can_be_built_again_without_any_model(finished: Path) -> None:
    before = load(finished)
    assert build_report.build(finished) == before


def test_results_are_lm_evals_own_and_samples_are_all_there(finished: Path) -> None:
    from lm_eval.utils import get_results_filenames, get_sample_results_filenames

    folder = finished / "results" / "pocket-base"
    names = [str(path) for path in folder.iterdir()]
    assert len(get_results_filenames(names)) == 4
    assert len(get_sample_results_filenames(names)) == 4
    for result in results.read(folder):
        rows = list(result.answered())
        assert len(rows) == 4
        assert all(row.prompt.startswith("[") and row.gold for row in rows)
    opened = Samples(finished / "samples.sqlite")
    assert opened.find(Query()).total == 16
    assert [row.gold for row in opened.find(Query(task="mmlu_local")).rows] == list("BCDA")
    opened.close()


def test_a_model_of_the_engine_is_what_transformers_says_it_is(
    lab: Settings, finished: Path, tmp_path: Path
) -> None:
    """Likelihoods asked token by token of the engine agree with lm-eval's HFLM on its weights."""
    out = tmp_path / "torch"
    argv = ["--models", "pocket-base", "--engine", "transformers", "--batch-size", "4"]
    tasks = ["--tasks", "pocket_choice", "--limit", "4"]
    assert main([*argv, *tasks, "--out", str(out)]) == 0
    theirs = {tuple(r["key"].split(":")): r for r in answers(out, "pocket-base")}
    ours = [r for r in answers(finished, "pocket-base") if r["task"] == "pocket_choice"]
    by_place = {(r["doc"], r["part"]): r["answer"][0] for r in theirs.values()}
    assert len(by_place) == len(ours) == 16
    differences = [abs(by_place[r["doc"], r["part"]] - r["answer"][0]) for r in ours]
    # The engine computes with 8-bit activations: close, not equal.
    assert sorted(differences)[8] < 0.35
    assert max(differences) < 2.5


def test_scores_agree_with_plain_lm_eval_to_the_last_digit(lab: Settings, tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from imitation.models.embedded.dequantised import dequantised
    from imitation.models.embedded.weights import weights_path

    folder, _ = dequantised(lab, weights_path(lab, "cut-4"))
    tasks = ["pocket_facts", "pocket_choice"]
    theirs = simple_evaluate(
        "hf",
        model_args={"pretrained": str(folder), "dtype": "float32"},
        tasks=tasks,
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        limit=4,
        batch_size=4,
        device="cpu",
        apply_chat_template=True,
        bootstrap_iters=0,
    )
    out = tmp_path / "ours"
    argv = ["--local", f"base:cut={folder}", "--batch-size", "4", "--limit", "4"]
    assert main([*argv, "--tasks", *tasks, "--out", str(out)]) == 0
    for result in results.read(out / "results"):
        same = theirs["results"][result.task]
        for (metric, kind), (value, _) in result.metrics.items():
            assert value == same[f"{metric},{kind}"]
        rows = {row["doc_id"]: row for row in theirs["samples"][result.task]}
        for row in result.answered():
            assert row.doc_hash == rows[row.doc_id]["doc_hash"]
