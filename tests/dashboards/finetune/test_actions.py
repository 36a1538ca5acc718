"""The Fine-tune page without a browser: the form, the runs, what becomes of them."""

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from dashboards.data import builds
from dashboards.data import view as data_view
from dashboards.finetune import new_run as actions
from dashboards.finetune import preflight, preflight_view, saved_forms, tracking_page, view
from dashboards.finetune.new_page import FormHandlers
from dashboards.finetune.new_run import Form
from dashboards.finetune.runs import Runs
from dashboards.shell import job_panel
from dashboards.shell.training_data import data_files
from imitation.errors import ConfigError, UserError
from imitation.events import Writer as Progress
from imitation.jobs.parameters import parse
from imitation.jobs.queue import runner
from imitation.jobs.registry import command, command_of
from imitation.models import catalog_writer
from imitation.values import JobSpec
from training.run_options import Finetune

ME, OTHER = "a" * 64, "b" * 64
CONVERSATION = {
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
}


@pytest.fixture
def data(context):
    """42 conversations and two lines that are none."""
    path = context.settings.data / "datasets" / "mine" / "42.jsonl"
    path.parent.mkdir(parents=True)
    lines = [json.dumps(CONVERSATION)] * 42
    path.write_text("\n".join([*lines, "{oops", '{"messages": []}']))
    return path


@pytest.fixture
def form(data):
    values = actions.preset_values("pocket-broad")
    base = values.pop("base")
    return Form("one", "pocket-broad", base, str(data), values)


def test_presets_fill_the_form(context):
    assert {"pocket-broad", "pocket-local"} <= set(actions.presets())
    assert [card.id for card in actions.bases(context)] == [
        "pocket-base", "pocket-base-cut2", "pocket-base-cut6",
    ]  # fmt: skip
    values = actions.preset_values("pocket-broad")
    assert set(values) == {"base", *(h.name for h in actions.SHOWN)}
    for h in actions.SHOWN:
        assert isinstance(values[h.name], bool) == (h.kind == "switch")
        assert isinstance(values[h.name], str) == bool(h.choices) == (h.kind == "choice")
    with pytest.raises(UserError, match="pocket-broad"):
        actions.preset_values("pocket-brod")


def test_a_plan_is_a_command_and_its_work(context, form, data):
    made = actions.plan(context, replace(form, changes={**form.changes, "epochs": 3}), ME)
    assert command("finetune", made.parameters) == (
        sys.executable, "-m", "training.finetune", "--preset", "pocket-broad",
        "--name", "one", "--epochs", "3",
        "--data", str(data), "--out", str(context.settings.data / "runs" / "one"),
    )  # fmt: skip
    assert (made.conversations, made.refused) == (42, 2)
    # 2 of 42 are kept out; 40 in batches of 8, three times over.
    assert (made.config.batch_size, made.config.val_fraction, made.steps) == (8, 0.05, 15)
    shown = view.plan_html(made, "the <command>")
    assert "42 conversations, 2 lines left out: 15 steps" in shown and "<command>" not in shown


def test_a_form_comes_back_from_its_job(context, form):
    asked = replace(
        form, base="pocket-base-cut2", changes={**form.changes, "learning_rate": 2e-5, "seed": 7}
    )
    found = actions.form_of(spec_of(context, asked))
    changes = {"learning_rate": 2e-5, "seed": 7}
    assert found == replace(asked, changes=changes), "changes of the preset only"
    assert actions.form_of(JobSpec("finetune", {}, "")) == Form("", "", "", "", {})


@pytest.mark.slow
def test_the_command_reads_the_form_as_it_was_meant(context, form):
    asked = replace(form, changes={**form.changes, "learning_rate": 1e-05, "max_tokens": 100})
    made = actions.plan(context, replace(asked, name="007", base="pocket-base-cut6"), ME)
    argv = command("finetune", made.parameters)[3:]
    assert parse(Finetune, argv, "finetune", "").training_config() == made.config
    assert made.config.name == "007"


@pytest.mark.parametrize(
    "name", ["", "a b", "../x", ".hidden", "-x", "ü", "x" * 81, "a/b", "a\n", "$(id)"]
)
def test_names_that_cannot_be_folders_are_refused(context, form, name):
    with pytest.raises(UserError, match="cannot be the name"):
        actions.plan(context, replace(form, name=name), ME)


def test_names_are_taken_once(context, form):
    assert actions.free_name(context, "pocket-broad") == "pocket-broad-1"
    (context.jobs.runs / "pocket-broad-1").mkdir(parents=True)
    (context.jobs.runs / "one").mkdir()
    assert actions.free_name(context, "pocket-broad-1") == "pocket-broad-2"
    with pytest.raises(UserError, match="a run 'one' already"):
        actions.plan(context, form, ME)


def test_wrong_values_are_said_together(context, form):
    changes = {**form.changes, "lora_r": 0, "learning_rate": 7.0}
    with pytest.raises(ConfigError) as caught:
        actions.plan(context, replace(form, changes=changes), ME)
    assert len(caught.value.problems) == 2
    with pytest.raises(UserError, match="pocket-base"):
        actions.plan(context, replace(form, base="pocket-bas"), ME)
    with pytest.raises(UserError, match="cannot be fine-tuned here"):
        actions.plan(context, replace(form, base="pocket-reference"), ME)


def test_data_is_read_from_known_folders_only(context, form, tmp_path):
    outside = tmp_path / "outside.jsonl"
    outside.write_text(json.dumps(CONVERSATION))
    datasets = context.settings.data / "datasets"
    (datasets / "link.jsonl").symlink_to(outside)
    (datasets / "notes.txt").write_text(json.dumps(CONVERSATION))
    theirs = context.settings.data / "uploads" / OTHER[:16]
    theirs.mkdir(parents=True)
    (theirs / "x.jsonl").write_text(json.dumps(CONVERSATION))
    places = (
        outside, datasets / "link.jsonl", datasets / "notes.txt", theirs / "x.jsonl",
        datasets / ".." / "uploads" / OTHER[:16] / "x.jsonl",
    )  # fmt: skip
    for place in places:
        with pytest.raises(UserError, match="no data file"):
            actions.plan(context, replace(form, data=str(place)), ME)
    for missing in ("", " ", "datasets", str(datasets / "none.jsonl")):
        with pytest.raises(UserError, match="no data file"):
            actions.plan(context, replace(form, data=missing), ME)
    assert actions.plan(context, replace(form, data="datasets/mine/42.jsonl"), ME).steps


def test_uploads_are_kept_apart_and_checked(context, tmp_path):
    settings = context.settings
    path = tmp_path / "my data (1).jsonl"
    path.write_text(json.dumps(CONVERSATION) + "\n{oops")
    kept = actions.keep_upload(settings, ME, path)
    assert kept.name == "my-data-1.jsonl"
    assert ("my-data-1.jsonl, uploaded", str(kept)) in data_files(settings, ME)
    assert str(kept) not in [p for _, p in data_files(settings, OTHER)]
    for content in ("", "{oops", '{"messages": [{"role": "user", "content": "?"}]}', "\xff"):
        bad = tmp_path / "bad.jsonl"
        bad.write_text(content, encoding="latin-1")
        with pytest.raises(UserError, match=r"bad\.jsonl"):
            actions.keep_upload(settings, ME, bad)
    assert len(list(kept.parent.iterdir())) == 1


def test_large_uploads_are_refused(context, tmp_path):
    settings = replace(context.settings, upload_bytes=10)
    path = tmp_path / "large.jsonl"
    path.write_text(json.dumps(CONVERSATION))
    with pytest.raises(UserError, match="datasets"):
        actions.keep_upload(settings, ME, path)


def test_shipped_data_is_offered_and_fits_its_preset(context):
    files = dict(data_files(context.settings, ME))
    assert {"Broad, shipped", "Local, shipped"} <= set(files)
    assert all(Path(path).is_file() for path in files.values())


def test_where_jobs_are_off_none_is_started(context, form):
    context.settings = replace(context.settings, jobs=False)
    with pytest.raises(UserError, match="IMITATION_JOBS"):
        actions.start(context, form, ME)
    assert context.jobs.look() == []


def spec_of(context, form):
    """A job of the form's parameters."""
    return JobSpec("finetune", actions.plan(context, form, ME).parameters.as_json(), form.name)


@pytest.fixture
def run_job(context, monkeypatch):
    """A stand-in for training: a job with a run's parameters that only does what `code` says."""
    codes = {}

    def command_line(spec):
        if spec.name not in codes:
            return command_of(spec)
        return (sys.executable, "-c", codes[spec.name], spec.out)

    monkeypatch.setattr(runner, "command_of", command_line)

    def submit(code, name="one", visitor=ME, parameters=None):
        out, codes[name] = context.jobs.runs / name, code
        table = parameters or {"preset": "pocket-broad", "data": "x.jsonl", "out": str(out)}
        spec = JobSpec("finetune", table, name, out=str(out), visitor=visitor)
        return context.jobs.submit(replace(spec, progress=str(out / "progress.jsonl")))

    return submit


LEARNS = """
import pathlib, sys
from imitation.events import Writer
out = pathlib.Path(sys.argv[1]); out.mkdir(parents=True, exist_ok=True)
Writer(out / "progress.jsonl").write('step', step=1, steps=9)
"""


@pytest.fixture
def trains(finished):
    """Code of a job that leaves what a real run left."""
    return f"import shutil, sys; shutil.copytree({str(finished.run)!r}, sys.argv[1])"


WAITS = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).mkdir(parents=True); time.sleep(60)"


def ended(context, job):
    deadline = time.monotonic() + 30
    while context.jobs.look() and context.jobs.job(job.id).is_live:
        assert time.monotonic() < deadline
        time.sleep(0.03)
    return context.jobs.job(job.id)


def test_everybody_watches_and_owners_act(context, run_job):
    runs = Runs(context)
    first, second = run_job(WAITS), run_job(WAITS, "two", OTHER)
    two, one = runs.look(ME)
    assert (one.state, one.mine, one.ahead) == ("running", True, 0)
    assert (two.state, two.mine, two.ahead) == ("queued", False, 1)
    for act in (runs.stop, runs.delete, runs.promote, runs.retry):
        with pytest.raises(UserError, match="Only who started"):
            act(second.id, ME)
    shown = view.detail_html(two)
    assert "Stop" not in shown and "Delete" not in shown
    assert 'data-do="stop"' in view.detail_html(one)
    runs.stop(second.id, OTHER)
    runs.stop(first.id, ME)
    assert ended(context, first).state == "stopped"
    shown = view.detail_html(runs.look(ME)[1])
    assert 'data-do="delete"' in shown and 'data-do="retry"' in shown
    runs.delete(first.id, ME)
    assert [run.name for run in runs.look(ME)] == ["two"]
    assert not (context.jobs.runs / "one").exists()


@pytest.mark.slow
def test_a_finished_run_is_shown_with_its_curve(context, trains, run_job):
    runs = Runs(context)
    job = ended(context, run_job(f"{trains}; print('trained')"))
    (run,) = runs.look(OTHER)
    assert (run.state, run.exported, run.promoted) == ("done", True, False)
    (_, (_, loss)), held_out = run.progress.loss, run.progress.validation[-1][1]
    assert runs.log(job.id) == "trained"
    listed = view.list_html([run], run.id, [run.id])
    assert f"step 2 of 2 · loss {loss:.3f} · held-out {held_out:.3f}" in listed
    assert "tokens/s" in listed and "left" not in listed and "(n 1)" in listed
    assert 'aria-pressed="true"' in listed and 'aria-current="true"' in listed


@pytest.mark.slow
def test_promoted_it_is_in_the_catalog_at_once_and_outlives_its_run(
    context, form, trains, finished, run_job
):
    runs = Runs(context)
    table = spec_of(context, form).parameters
    job = ended(context, run_job(trains, parameters=table))
    assert "one" not in context.catalog()
    assert 'data-do="promote"' in view.detail_html(runs.look(ME)[0])
    runs.promote(job.id, ME)
    card = context.catalog()["one"]
    assert (card.role, card.base, card.weights) == ("imitation", "pocket-base", "cut-4")
    assert card.stand_in and "42.jsonl" in card.notes
    told = json.loads((finished.run / "checkpoint" / "data.json").read_text())
    assert card.tokens_m == round(told["train_tokens"] / 1e6, 4) > 0
    full = json.loads((context.settings.data / "adapters" / "one.json").read_text())
    assert full["metrics"]["steps"] == 2, "with its full card"
    assert '<a href="./?models=one">In Compare</a>' in view.detail_html(runs.look(ME)[0])
    with pytest.raises(UserError, match="already"):
        runs.promote(job.id, ME)
    runs.delete(job.id, ME)
    adapter = Path(context.catalog()["one"].adapter)
    assert adapter.read_bytes() == (finished.run / "adapter.gguf").read_bytes()


@pytest.mark.slow
def test_a_damaged_run_is_not_promoted_and_nothing_is_changed(context, form, trains, run_job):
    table = spec_of(context, form).parameters
    job = ended(context, run_job(trains, parameters=table))
    (context.jobs.runs / "one" / "checkpoint" / "training.json").write_text("{")
    with pytest.raises(UserError, match="no finished run"):
        Runs(context).promote(job.id, ME)
    assert "one" not in context.catalog()
    assert list((context.settings.data / "adapters").glob("*")) == []


@pytest.mark.slow
def test_two_clicks_promote_once_and_undo_nothing(context, form, trains, monkeypatch, run_job):
    table = spec_of(context, form).parameters
    job = ended(context, run_job(trains, parameters=table))
    add, runs = catalog_writer.add_card, Runs(context)

    def twice(*given):
        add(*given)
        add(*given)

    monkeypatch.setattr("dashboards.finetune.runs.add_card", twice)
    with pytest.raises(UserError, match="already"):
        runs.promote(job.id, ME)
    assert Path(context.catalog()["one"].adapter).is_file(), "what the first click added is whole"


@pytest.mark.slow
def test_all_weights_are_promoted_like_an_adapter(context, form, finished, run_job):
    runs = Runs(context)
    table = spec_of(context, form).parameters
    # Its base is a folder, of which the engine gets no file: any stands in, it is only copied.
    code = f"import pathlib, shutil, sys; shutil.copytree({str(finished.full)!r}, sys.argv[1]); "
    code += "pathlib.Path(sys.argv[1], 'model.gguf').write_bytes(b'GGUF')"
    job = ended(context, run_job(code, parameters=table))
    assert 'data-do="promote"' in view.detail_html(runs.look(ME)[0])
    runs.promote(job.id, ME)
    runs.delete(job.id, ME)
    card = context.catalog()["one"]
    assert (card.role, card.base, card.adapter) == ("imitation", "pocket-base", "")
    assert Path(card.weights).read_bytes() == b"GGUF"
    assert Path(card.weights).is_relative_to(context.settings.data)


def test_only_what_can_be_served_is_promoted(context, run_job):
    runs = Runs(context)
    job = ended(context, run_job("raise SystemExit(1)"))
    with pytest.raises(UserError, match="no GGUF to serve"):
        runs.promote(job.id, ME)


@pytest.mark.parametrize(("phase", "less"), [("setup", False), ("step", True), ("saved", False)])
def test_less_memory_is_offered_where_it_is_the_cure(
    context, form, monkeypatch, phase, less, run_job
):
    """Neither the base nor the export gets smaller by what the form can change."""
    table = spec_of(context, form).parameters
    code = LEARNS.replace("'step'", repr(phase)) + "raise MemoryError"
    job = ended(context, run_job(code, parameters=table))
    (context.jobs.runs / "one" / "state.pt").write_bytes(b"state")
    runs = Runs(context)
    assert job.state == "out_of_memory"
    assert ("with less memory" in view.detail_html(runs.look(ME)[0])) == less
    started = []
    monkeypatch.setattr(context.jobs, "submit", lambda spec: started.append(spec) or job)
    runs.retry(job.id, ME)
    assert bool(actions.form_of(started[0]).changes) == less
    runs.resume(job.id, ME)
    changed = started[1].parameters.items() - job.spec.parameters.items()
    assert bool(changed - {("resume", True)}) == less


def test_out_of_memory_is_tried_again_with_less(context, form, monkeypatch, run_job):
    table = spec_of(context, form).parameters
    job = ended(context, run_job(LEARNS + "raise MemoryError", parameters=table))
    runs = Runs(context)
    assert job.state == "out_of_memory"
    assert "Try again with less memory" in view.detail_html(runs.look(ME)[0])
    started = []
    monkeypatch.setattr(context.jobs, "submit", started.append)
    runs.retry(job.id, ME)
    asked = actions.form_of(started[0])
    assert (asked.name, asked.data) == ("one-1", form.data)
    assert asked.changes == {"micro_batch_size": form.changes["micro_batch_size"] // 2}
    light = actions.lighter(replace(form, changes={"micro_batch_size": 1}))
    assert light.changes == {"micro_batch_size": 1, "gradient_checkpointing": True}
    assert actions.lighter(light).changes == {
        "micro_batch_size": 1, "gradient_checkpointing": True,
        "max_tokens": form.changes["max_tokens"] // 2,
    }  # fmt: skip


def test_a_run_that_ended_early_goes_on_from_its_checkpoint(context, form, run_job):
    runs = Runs(context)
    table = spec_of(context, form).parameters
    job = ended(context, run_job(LEARNS + "raise MemoryError", parameters=table))
    assert not runs.look(ME)[0].resumable
    with pytest.raises(UserError, match="no checkpoint"):
        runs.resume(job.id, ME)
    (context.jobs.runs / "one" / "state.pt").write_bytes(b"state")
    shown = view.detail_html(runs.look(ME)[0])
    assert "Resume with less memory" in shown and "Start over with less memory" in shown
    with pytest.raises(UserError, match="Only who started"):
        runs.resume(job.id, OTHER)
    again = ended(context, runs.resume(job.id, ME))
    less = {"micro_batch_size": form.changes["micro_batch_size"] // 2}
    assert again.spec.parameters == {**job.spec.parameters, **less, "resume": True}
    assert again.spec.out == job.spec.out
    assert [run.id for run in runs.look(ME)] == [again.id], "one row, the one that goes on"
    assert (context.jobs.runs / "one" / "state.pt").is_file(), "what it wrote is still there"
    third = ended(context, runs.resume(again.id, ME))
    assert command_of(third.spec).count("--resume") == 1
    runs.delete(third.id, ME)
    assert not (context.jobs.runs / "one").exists()


def test_bases_are_pocket_models_hub_ids_and_folders_of_the_lab(context, form, tmp_path):
    inside, outside = context.settings.data / "bases" / "mine", tmp_path / "theirs"
    for folder in (inside, outside, context.jobs.runs / "full-1" / "checkpoint"):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    (context.settings.data / "bases" / "link").symlink_to(outside)
    assert actions.folders(context)[-1][0] == "full-1, fine-tuned here"
    assert ("mine", str(inside)) in actions.folders(context)
    for good in (str(inside), "allenai/OLMo-2-0425-1B", "pocket-base-cut2"):
        made = actions.plan(context, replace(form, base=good), ME)
        assert made.config.base == good
    for bad in (str(outside), str(context.settings.data / "bases" / "link"), "/etc"):
        with pytest.raises(UserError, match="not in a folder that bases"):
            actions.plan(context, replace(form, base=bad), ME)
    for bad in ("../../etc", "a/b/c", "-x/y", ""):
        with pytest.raises(UserError):
            actions.plan(context, replace(form, base=bad), ME)


def test_packed_the_steps_are_not_known_beforehand(context, form):
    made = actions.plan(context, replace(form, changes={**form.changes, "packing": True}), ME)
    assert made.steps is None
    assert "blocks of 512 tokens, 8 a step" in view.plan_html(made, "x")


def test_settings_are_kept_and_come_back(context, form):
    settings = context.settings
    assert saved_forms.names(settings, ME) == []
    asked = replace(form, changes={**form.changes, "epochs": 7, "method": "full"})
    assert saved_forms.save(settings, ME, asked) == "one"
    assert saved_forms.names(settings, ME) == ["one"]
    assert saved_forms.names(settings, OTHER) == []
    assert saved_forms.load(settings, ME, "one") == asked
    for name in ("", "../one", "none", "a/b"):
        with pytest.raises(UserError):
            saved_forms.load(settings, ME, name)
    path = settings.data / "uploads" / ME[:16] / "settings" / "one.json"
    path.write_text('{"preset": "gone", "base": "", "data": "", "changes": {}}')
    with pytest.raises(UserError, match="gone"):
        saved_forms.load(settings, ME, "one")
    path.write_text("[1]")
    with pytest.raises(UserError, match="cannot be read"):
        saved_forms.load(settings, ME, "one")


ESTIMATE = {
    "memory": {
        "weights": 1, "gradients": 1, "optimizer": 1, "activations": 1, "logits": 1,
        "gaps": 1, "overhead": 1, "total": 6_000_000_000, "free": 2_000_000_000, "device": "<gpu>",
    },
    "fits": False, "fit": {"micro_batch_size": 1, "gradient_checkpointing": True},
    "steps": 10, "tokens": 1000,
    "trained_tokens": 400, "tokens_per_s": None, "seconds": None, "dtype": "float32",
    "disk": {"needed": 1_000_000, "free": 9_000_000, "fits": True},
}  # fmt: skip


def test_an_estimate_says_whether_it_fits_and_what_would(form):
    shown = preflight_view.estimate_html(ESTIMATE)
    assert "It does not fit." in shown and "Micro-batch size: 1" in shown
    assert "6.0 GB of 2.0 GB free (&lt;gpu&gt;)" in shown and "not measured" in shown
    changes = json.dumps(ESTIMATE["fit"])
    fitted = preflight.with_changes(form, changes)
    assert fitted.changes == {**form.changes, "micro_batch_size": 1, "gradient_checkpointing": True}
    for bad in ("", "[1]", '{"base": "/etc"}', '{"name": "x"}'):
        assert preflight.with_changes(form, bad) == form, "only fields of the form"
    assert "no setting makes it fit" in preflight_view.estimate_html({**ESTIMATE, "fit": None})
    fits = {**ESTIMATE, "fits": True, "tokens_per_s": 100.0, "seconds": 10.0}
    assert "It fits" in preflight_view.estimate_html(fits)
    assert "about 10 s, at the 100 tokens/s" in preflight_view.estimate_html(fits)


def test_the_first_batch_marks_what_is_trained(form):
    tokens = [["<|user|>", False, True], ["Hi", False, False], ["<b>", True, False],
              ["!", True, False], ["Next", False, True]]  # fmt: skip
    row = {"ids": "a, b", "conversations": 2, "length": 9, "trained": 2, "tokens": tokens,
           "more": 4}  # fmt: skip
    shown = preflight_view.batch_html({"packing": True, "rows": [row], "more_rows": 3})
    assert '&lt;|user|&gt;Hi<mark class="lab-trained">&lt;b&gt;!</mark><hr>Next' in shown
    assert "2 conversations: 9 tokens, 2 trained" in shown and "4 more tokens" in shown
    assert "3 more in this batch" in shown


@pytest.mark.slow
def test_a_look_is_a_short_job_that_leaves_nothing(context, form, data):
    with pytest.raises(UserError, match="IMITATION_JOBS"):
        preflight.start(Off(context), "batch", form, ME)
    bad = replace(form, base="no-such-owner/no-such-model")
    identity = preflight.start(context, "batch", bad, ME)
    job = context.jobs.job(identity)
    assert job.spec.device == "io" and "out" not in job.spec.parameters
    with pytest.raises(UserError, match="could not be loaded"):
        while preflight.result(context, identity) is None:
            time.sleep(0.1)
    assert context.jobs.look() == [] and not (context.jobs.folder / identity).exists()


class Off:
    """A context where visitors may only watch."""

    def __init__(self, context):
        self.settings = replace(context.settings, jobs=False)


def test_whatever_comes_from_outside_is_escaped(context, run_job):
    evil = "<img src=x onerror=alert(1)>"
    code = f"import sys; print({evil!r}); raise SystemExit(1)"
    table = {"preset": "pocket-broad", "data": evil, "out": "x", "base": evil}
    job = ended(context, run_job(code, parameters=table))
    runs = Runs(context)
    (run,) = runs.look(ME)
    run = replace(run, name=evil)
    html = (
        view.list_html([run], "", [])
        + view.detail_html(run)
        + str(job_panel.log_html(runs.log(job.id)))
    )
    assert "<img" not in html and "&lt;img" in html


def test_durations():
    assert [job_panel.seconds(s) for s in (0, 89, 100, 5000, 7500)] == [
        "0 s", "89 s", "2 min", "83 min", "2 h 5 min",
    ]  # fmt: skip


def test_a_look_at_many_runs_is_quick(context, form, run_job):
    table = spec_of(context, form).parameters
    runs = Runs(context)
    run_job(WAITS)
    for n in range(19):
        run_job("pass", f"r-{n}", parameters=table)
    runs.look(ME)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        assert len(runs.look(ME)) == 20
        times.append(time.perf_counter() - began)
    for run in runs.look(ME):
        runs.stop(run.id, ME)
    assert min(times) < 0.05, times


def test_a_resumed_run_says_where_it_is_and_no_time_left_before_it_trains(context, form, run_job):
    """Its progress is what training writes of a run, is stopped, and goes on."""
    out = context.jobs.runs / "one"
    out.mkdir(parents=True)
    path = out / "progress.jsonl"
    first = Progress(path)
    first.write("setup", dtype="float32")
    first.write("start", config={}, data={})
    for step in (1, 2, 3):
        time.sleep(0.01)
        first.write("step", step=step, steps=4000, loss=2.0, tokens=50 * step, trained_tokens=9)
    first.write("checkpoint", step=3)
    first.write("stopped", resumable=True)

    waits = WAITS.replace("parents=True", "parents=True, exist_ok=True")
    job, runs = run_job(waits), Runs(context)

    def listed():
        (run,) = runs.look(ME)
        assert run.state == "running"
        return view.list_html([run], run.id, [])

    assert "starting" in listed() and "finishing" not in listed() and " left" not in listed()
    again = Progress.resumed(path, 3, True, 9.0)
    assert "finishing" not in listed() and "step 3 of 4,000" in listed()
    again.write("setup", dtype="float32")
    again.write("start", config={}, data={})
    assert "loading the base" in listed() and " left" not in listed()
    again.write("resumed", step=3, steps=4000)
    for step in (4, 5):
        time.sleep(0.01)
        again.write("step", step=step, steps=4000, loss=2.0, tokens=50 * step, trained_tokens=9)
    assert "went on from step 3" in listed() and " left" in listed()
    for event in ("saved", "exported"):
        again.write(event)
        assert " left" not in listed()
    assert "finishing" in listed()
    runs.stop(job.id, ME)
    runs.stop(job.id, ME, kill=True)
    ended(context, job)


@pytest.mark.slow
def test_fine_tune_on_it_brings_the_dataset_along(context, data, finished):
    built = shutil.copytree(finished.dataset, context.settings.data / "datasets" / "mix")
    (build,) = builds.builds(context, ME)
    assert 'href="finetune?data=mix"' in data_view.head_html(build)
    handle = FormHandlers(context)
    values = handle.first(ME, "mix")
    assert values["data"]["value"] == str(built / "data.jsonl")
    assert str(built / "data.jsonl") in values["plan"], "and is in the command"
    assert handle.first(ME)["data"]["value"] == str(actions.SHIPPED / "broad.jsonl")
    for gone in ("none", "../mix", "/etc"):
        with pytest.warns(UserWarning, match="no dataset"):
            assert not handle.first(ME, gone)["data"]["value"]


def test_another_preset_leaves_data_and_name_of_ones_own(context, data):
    handle = FormHandlers(context)
    fields = {**actions.preset_values("pocket-broad"), "preset": "pocket-local"}
    first = ("name", "preset", "base", "data")
    own = handle.other_preset("me", **{**fields, "name": "mine", "data": str(data)})
    assert [own[key] for key in first] == ["mine", "pocket-local", "pocket-base", str(data)]
    shipped = str(actions.SHIPPED / "broad.jsonl")
    theirs = handle.other_preset("me", **{**fields, "name": "pocket-broad-1", "data": shipped})
    assert [theirs[key] for key in first] == [
        "pocket-local-1", "pocket-local", "pocket-base", str(actions.SHIPPED / "local.jsonl"),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_names_the_dataset_it_learned_from_and_its_form_comes_back(
    context, form, data, finished, trains, run_job
):
    built = shutil.copytree(finished.dataset, context.settings.data / "datasets" / "mix")
    file = built / "data.jsonl"
    table = spec_of(context, replace(form, data=str(file))).parameters
    ended(context, run_job(trains, parameters=table))
    (run,) = Runs(context).look(ME)
    assert "Pocket cut-4 on mix ·" in view.list_html([run], run.id, [])
    assert "<dt>Data</dt><dd>mix</dd>" in view.detail_html(run)
    handle = FormHandlers(context)
    values = handle.filled_again(run.form, ME)
    assert values["name"] == "one-1" and values["data"]["value"] == str(file)
    file.unlink()
    with pytest.warns(UserWarning, match="data mix is gone"):
        assert handle.filled_again(run.form, ME)["data"]["value"] is None


def test_trackio_is_offered_for_tracked_runs_where_the_browser_reaches_it(context, form, run_job):
    tracked = replace(form, changes={**form.changes, "track": True})
    table = spec_of(context, tracked).parameters
    one = run_job("pass", parameters=table)
    two = run_job("pass", "two")
    handle = tracking_page.TrackingHandlers(context)
    offered = [handle.offer({"run": run})["visible"] for run in (one.id, two.id, "gone", "")]
    assert offered == [True, False, False, False]
    click = gr.EventData(None, {"do": "open", "host": "lab.example.org"})
    far = handle.open(click)
    assert "cannot reach" in far and "trackio show --project imitation-lab" in far
    assert handle._server is None, "nothing is started for a browser that cannot reach it"
    context.settings = replace(context.settings, jobs=False)
    assert "IMITATION_JOBS" in handle.open(gr.EventData(None, {"host": "localhost"}))
    ended(context, one), ended(context, two)
