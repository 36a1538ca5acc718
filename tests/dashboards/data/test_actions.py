"""The Data page without a browser: sources, the command, builds, and what is shown of them."""

import gzip
import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards.data import answers, builds, dataset_view, mixtures, sources
from dashboards.data import new_dataset as data
from dashboards.data import view as data_view
from dashboards.data.figures import nearest_histogram
from dashboards.data.new_dataset import Form
from dashboards.data.new_page import Draft, FormHandlers
from dashboards.finetune import new_run as finetune
from dashboards.finetune import saved_forms
from dashboards.shell import visitors
from dashboards.shell.palette import LIGHT
from imitation.data import library
from imitation.data.pipeline import DEFAULT, STEPS
from imitation.data.sources.load import Source
from imitation.data.sources.rows import read_file
from imitation.errors import UserError
from imitation.jobs.commands import build_dataset
from imitation.jobs.commands.build_dataset import BuildDataset
from imitation.jobs.parameters import parse
from imitation.jobs.registry import command
from tests.jobs.commands.test_build_dataset import rows

ME, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def alpaca(context, tmp_path):
    """An uploaded file: 104 conversations, a row that has no answer and a line that is none."""
    path = tmp_path / "my alpaca.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()) + "{broken\n")
    return sources.source_of(
        context.settings, str(sources.keep_upload(context.settings, ME, path)), ME
    )


def ended(context, name, within_s=60):
    deadline = time.monotonic() + within_s
    while True:
        build = next(b for b in builds.builds(context, ME) if b.name == name)
        if not build.is_live:
            return build
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_steps_of_the_form_are_those_there_are():
    assert list(data.STEPS) == list(STEPS)
    assert Form("", ()).steps == DEFAULT


def test_sources_are_the_visitors_files_and_presets(context, alpaca):
    mine = dict((value, label) for label, value in sources.source_choices(context.settings, ME))
    assert mine[alpaca.path] == "upload: my-alpaca.jsonl"
    for name in ("sharegpt", "hc3", "alpaca", "dolly"):
        assert f"preset:{name}" in mine
    theirs = [value for _, value in sources.source_choices(context.settings, OTHER)]
    assert alpaca.path not in theirs
    with pytest.raises(UserError, match="no file"):
        sources.source_of(context.settings, alpaca.path, OTHER)
    preset = sources.source_of(context.settings, "preset:hc3", ME)
    assert preset.licence == "CC BY-SA 4.0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no file"),
        ("/etc/passwd", "no file"),
        ("lab.sqlite3", "no file"),
        ("datasets/../lab.sqlite3", "no file"),
        ("preset:sharegtp", "Did you mean"),
        ("hub:/etc", "no dataset of the hub"),
        ("hub:../secrets", "no dataset of the hub"),
        ("hub:a/b --out x", "no dataset of the hub"),
    ],
)
def test_sources_lead_nowhere_else(context, text, message):
    (context.settings.data / "datasets").mkdir()
    with pytest.raises(UserError, match=message):
        sources.source_of(context.settings, text, ME)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("...jsonl", "data.jsonl"),
        ("a b\n.json", "a-b.json"),
        ("ü.csv", "ü.csv"),
        ("x.jsonl.gz", "x.jsonl.gz"),
        ("--out=x.json", "out-x.json"),
        ("<b>.parquet", "b.parquet"),
    ],
)
def test_uploads_get_names_that_stay_in_their_folder(context, tmp_path, name, kept):
    sent = tmp_path / name
    sent.write_text("{}")
    place = context.settings.data / "uploads" / ME[:16]
    assert sources.keep_upload(context.settings, ME, sent) == place / kept


def test_a_look_does_not_tell_which_paths_exist(context, alpaca):
    """The same words for what is there and somebody else's, and for what is not there at all."""
    base = context.settings.data
    (base / "bases").mkdir()
    (base / "loop").symlink_to(base / "loop")
    there = (
        alpaca.path,
        "/etc/passwd",
        "/etc",
        "/root",
        str(base),
        "loop",
        str(base / "lab.sqlite3"),
    )
    asks = {
        "data": lambda text: sources.source_of(context.settings, text, OTHER),
        "against": lambda text: data.plan(context, Form("one", (alpaca,), against=(text,)), OTHER),
        "tokenizer": lambda text: data.plan(context, Form("one", (alpaca,), tokenizer=text), OTHER),
        "training data": lambda text: finetune.plan(
            context, finetune.Form("one", "pocket-broad", "pocket-base", text), OTHER
        ),
        "base": lambda text: finetune.check_base(context, text),
        "prompts": lambda text: answers.estimate(
            context, answers.Form("generate", "pocket-reference", text, "one"), OTHER
        ),
    }
    for what, ask in asks.items():
        said = set()
        for text in (*there, "/etc/no-such-file", "/no/such/folder"):
            if what in ("base", "tokenizer") and not text.startswith("/"):
                continue
            with pytest.raises(UserError) as caught:
                ask(text)
            said.add(str(caught.value).replace(repr(text), "X"))
        assert len(said) == 1, (what, said)


HOSTILE = (
    "\0", "a\0b", "x" * 100_000, "/" + "x" * 100_000, "../" * 5000, "hub:" + "x" * 100_000,
    "hub:a/\0", "preset:" + "x" * 100_000, "[" * 100_000, "\n", "--out", "%00", "\u202e",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_names_of_any_kind_are_refused_in_words(context, alpaca, text):
    settings, one = context.settings, Form("one", (alpaca,))
    asks = [
        lambda: sources.source_of(settings, text, ME),
        lambda: data.plan(context, replace(one, name=text), ME),
        lambda: data.plan(context, replace(one, weights=text), ME),
        lambda: data.plan(context, replace(one, budget=text), ME),
        lambda: data.plan(context, replace(one, languages=(text,)), ME),
        lambda: data.plan(context, replace(one, tokenizer=text), ME),
        lambda: data.plan(context, replace(one, against=(text,)), ME),
        lambda: builds.stop(context, text, ME),
        lambda: builds.delete(context, text, ME),
        lambda: library.open_dataset(sources.folder(settings), text),
        lambda: answers.estimate(
            context, answers.Form("generate", "pocket-reference", text, "one"), ME
        ),
        lambda: answers.estimate(
            context, answers.Form("generate", "pocket-reference", answers.FACTS, text), ME
        ),
        lambda: answers.estimate(context, answers.Form("generate", text, answers.FACTS, "a"), ME),
        lambda: answers.stop(context, text, ME),
        lambda: finetune.plan(
            context, finetune.Form("one", "pocket-broad", "pocket-base", text), ME
        ),
        lambda: finetune.check_base(context, "/" + text),
        lambda: list(read_file(Path(text))),
    ]
    for number, ask in enumerate(asks):
        blank = not text.strip() and number in (2, 3, 5)  # nothing was typed
        with nullcontext() if blank else pytest.raises(UserError) as caught:
            ask()
        assert blank or len(str(caught.value)) < 10_000, (number, "an answer that is read")
    mixtures.keep(settings, ME, (Source(text[:200], text[:200]),), "1")
    assert mixtures.kept(settings, ME).sources == ()


def test_uploads_of_other_kinds_are_refused(context, tmp_path):
    path = tmp_path / "a.exe"
    path.write_text("")
    with pytest.raises(UserError, match="none of"):
        sources.keep_upload(context.settings, ME, path)


def test_a_look_tells_shape_and_refusals(alpaca, tmp_path):
    seen = sources.preview(alpaca)
    html = data_view.preview_html(seen)
    assert "Read as Alpaca (by instruction, output)" in html and "lighthouse keeper" in html
    page = {"prompt": "q", "answer": '<div class="markdown"><p>a</p></div>'}
    (tmp_path / "page.jsonl").write_text(json.dumps(page) + "\n")
    html = data_view.preview_html(sources.preview(Source("s", str(tmp_path / "page.jsonl"))))
    assert "1 of them have answers in HTML: the step HTML to Markdown" in html
    evil = tmp_path / "evil.jsonl"
    evil.write_text(json.dumps({"prompt": "<script>x</script>", "answer": "<img>"}) + "\n[1]\n")
    html = data_view.preview_html(sources.preview(Source("<b>", str(evil))))
    assert "<script>" not in html and "<img>" not in html and "<b>&" not in html
    assert "a list where an object" in html
    evil.write_text('{"a": 1}\n')
    with pytest.raises(UserError, match=r"Nothing in s can be read.*fields of no known shape"):
        sources.preview(Source("s", str(evil)))


def test_a_plan_is_a_command(context, alpaca):
    hc3 = sources.source_of(context.settings, "preset:hc3", ME)
    form = Form("mix", (alpaca, hc3), weights="3, 1", budget="0.3M", limit=500)
    made = data.plan(context, form, ME)
    out = context.settings.data / "datasets" / "mix"
    typed = command("dataset", made)
    assert typed == (
        sys.executable, "-m", "imitation.jobs.commands.build_dataset",
        "--source", alpaca.path, "preset:hc3", "--licences", "not stated", "CC BY-SA 4.0",
        "--weights", "3", "1", "--budget", "0.3M", "--limit", "500",
        "--out", str(out),
        "--progress", str(context.settings.data / "builds" / "mix.jsonl"),
    )  # fmt: skip
    assert made.steps == ("language", "exact", "near", "decontaminate")
    assert (made.languages, made.similarity, made.max_bleu, made.seed) == (("en",), 0.8, 20, 0)
    args = parse(BuildDataset, typed[3:], "build_dataset", "")
    assert args == made and args.source == (alpaca.path, "preset:hc3") and args.weights == (3, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": ()}, "no source yet"),
        ({"name": "../evil"}, "cannot be the name"),
        ({"name": ""}, "cannot be the name"),
        ({"weights": "3 1"}, "2 weights for 1 sources"),
        ({"weights": "many"}, "not numbers"),
        ({"weights": "0"}, "not all 0"),
        ({"budget": "a lot"}, "no number of tokens"),
        ({"budget": "-3"}, "no number of tokens"),
        ({"limit": -1}, "should be 1 or more"),
        ({"seed": -1}, "The seed -1 should be 0 to"),
        ({"languages": ()}, "No language"),
        ({"languages": ("en", "--out")}, "no code of a language"),
        ({"similarity": 0.1}, "0.6 to 1"),
        ({"steps": ("length",), "least": 5, "most": 1}, "fewest words"),
        ({"max_bleu": 0}, "1 to 100"),
        ({"tokenizer": "--seed"}, "neither a model"),
        ({"against": ("/etc/passwd",)}, "no file"),
        ({"tokenizer": "/etc"}, "nor a folder of weights"),
    ],
)
def test_wrong_values_are_named(context, alpaca, changes, message):
    with pytest.raises(UserError, match=message):
        data.plan(context, replace(Form("one", (alpaca,)), **changes), ME)


@pytest.mark.slow
def test_a_build_from_form_to_delete(context, alpaca):
    form = Form("one", (replace(alpaca, licence="CC BY 4.0"),))
    job = data.start(context, form, ME)
    with pytest.raises(UserError, match="Stop it first"):
        builds.delete(context, "one", ME)
    with pytest.raises(UserError, match="Only who built"):
        builds.stop(context, "one", OTHER)
    build = ended(context, "one")
    assert (build.state, build.detail, build.job) == ("done", "", job.id)
    assert [(s["name"], s["taken"], s["kept"]) for s in build.steps][:2] == [
        ("language", 104, 103), ("exact", 103, 102),
    ]  # fmt: skip
    shown = dataset_view.counts_html(build)
    assert "1: language de" in shown and "CC BY 4.0" in shown and "not JSON" in shown
    head = data_view.head_html(build)
    assert "one/data.parquet" in head and "Delete" in head
    report = build.dataset.manifest["diversity"]
    said = dataset_view.diversity_html(report, {"Generation": 31})
    assert f"BLEU {report['mean_bleu']:.1f}" in said and "not known" in said
    page = library.look(build.dataset, start=0, count=10)
    assert "lighthouse keeper" in dataset_view.conversations_html(page, 0)
    with pytest.raises(UserError, match="a dataset 'one' already"):
        data.plan(context, form, ME)
    builds.delete(context, "one", ME)
    assert builds.builds(context, ME) == []
    left = [p for p in context.settings.data.rglob("*") if "one" in p.name]
    assert left == []


@pytest.mark.slow
def test_an_empty_result_is_a_failure_in_words(context, alpaca):
    form = Form("none", (alpaca,), steps=("length",), least=5000, most=6000)
    data.start(context, form, ME)
    build = ended(context, "none")
    assert build.state == "failed" and "Nothing is left of 104" in build.detail
    assert build.steps[0]["kept"] == 0, "what dropped them is still shown"
    assert "fewer than 5000 words" in dataset_view.counts_html(build)
    builds.delete(context, "none", ME)


@pytest.mark.slow
def test_the_hub_is_looked_at_by_a_job(context, monkeypatch):
    """Offline here, so what comes back is the reason; the job leaves nothing behind."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = sources.source_of(context.settings, "hub:no-such-owner/no-such-set", ME)
    job = sources.start_hub_preview(context, source, ME)
    deadline = time.monotonic() + 120
    with pytest.raises(UserError, match="can't be had"):
        while sources.hub_preview(context, job.id) is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert context.jobs.look() == []
    assert list((context.settings.data / "previews").iterdir()) == []


def test_offline_and_without_jobs_it_says_so(context, alpaca):
    source = sources.source_of(context.settings, "preset:alpaca", ME)
    context.settings = replace(context.settings, offline=True)
    with pytest.raises(UserError, match="IMITATION_OFFLINE"):
        sources.start_hub_preview(context, source, ME)
    context.settings = replace(context.settings, offline=False, jobs=False)
    with pytest.raises(UserError, match="IMITATION_JOBS"):
        data.start(context, Form("one", (alpaca,)), ME)


def test_datasets_made_by_hand_are_shown_and_nobodys(context, alpaca):
    out = context.settings.data / "datasets" / "byhand"
    options = ["--steps", "exact", "--no-diversity", "--out", str(out)]
    assert build_dataset.main(["--source", alpaca.path, *options]) == 0
    (build,) = builds.builds(context, ME)
    assert (build.name, build.state, build.mine, build.job) == ("byhand", "done", False, "")
    assert "was not measured" in dataset_view.diversity_html(
        build.dataset.manifest.get("diversity"), {}
    )
    with pytest.raises(UserError, match="Only who built"):
        builds.delete(context, "byhand", ME)
    assert "byhand" in data_view.list_html([build], "byhand")
    shutil.rmtree(out)
    assert builds.builds(context, ME) == []


def test_query_types_stand_beside_the_studys():
    types = {"Chat": 30, "": 10, "Odd": 5}
    report = {"n": 45, "mean_bleu": 12.3, "exact": True, "types": types, "pairs": []}
    html = dataset_view.diversity_html(report, {"Generation": 31, "Chat": 6})
    assert "66.7% (n = 30)" in html and "6%" in html
    assert "none" in html, "a type the study has and this data hasn't"
    assert "not reported" in html and "Type not stated" in html


def test_the_histogram_has_every_mean_by_name():
    figure = nearest_histogram([5, 0, 1] + [0] * 7, 9.4, {"ShareGPT-Mix": 8.0}, LIGHT, {})
    assert list(figure.data[0].y)[:3] == [5, 0, 1]
    names = [note.text for note in figure.layout.annotations]
    assert names == ["this dataset: 9.4", "ShareGPT-Mix: 8.0"]


def test_a_look_at_a_file_loads_no_dataset_library(alpaca):
    code = (
        "import sys\n"
        "from dashboards.data import sources\n"
        "from imitation.data.sources.load import Source\n"
        "sources.preview(Source('s', sys.argv[1]))\n"
        "assert not {'datasets', 'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, alpaca.path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def talk(*said):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(said)]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Nothing in s can be read"),
        (json.dumps(talk("only asked")).encode(), "no assistant turn"),
        (json.dumps(talk("q", "a")).encode("utf-16"), "UTF-16"),
        ('{"prompt": "é", "answer": "a"}'.encode("latin-1"), "not UTF-8: byte 0xe9"),
        (b'{"prompt": "q", "answer": "' + b"x" * 1_000_001 + b'"}', "1,000,001 characters"),
        (b"PK\x03\x04 no zip at all", "rest of the file was not read"),
        (b"PAR1 no parquet", "not a readable Parquet file"),
    ],
)
def test_files_that_hold_nothing_say_why_when_looked_at(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(message)):
        sources.preview(Source("s", str(path)))


@pytest.mark.slow
def test_a_bomb_is_not_unfolded_when_looked_at(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * 300_000_000, 9))
    began = time.monotonic()
    with pytest.raises(UserError, match=r"bomb|over 16 MB"):
        sources.preview(Source("s", str(path)))
    assert time.monotonic() - began < 20


def test_odd_rows_are_shown_beside_good_ones(tmp_path):
    """A megabyte is fine (and cut), a double id is no fault, one without an answer is named."""
    path = tmp_path / "a.jsonl"
    rows = [talk("q", "x" * 1_000_000) | {"id": "1"}, talk("q") | {"id": "2"},
            talk("r", "a") | {"id": "1"}]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    html = data_view.preview_html(sources.preview(Source("s", str(path))))
    assert len(html) < 20_000 and "1,000,000 characters in all" in html
    assert "no assistant turn" in html


def test_a_mixture_is_kept_for_its_visitor_less_what_is_gone(context, alpaca):
    settings = context.settings
    assert mixtures.kept(settings, ME) == mixtures.Mixture()
    preset = sources.source_of(settings, "preset:alpaca", ME)
    shipped = sources.source_of(settings, str(sources.SHIPPED / "broad.jsonl"), ME)
    chosen = (replace(alpaca, licence="CC BY 4.0"), preset, replace(shipped, licence="Apache-2.0"))
    mixtures.keep(settings, ME, chosen, "3, 1 2.5")
    assert mixtures.kept(settings, ME) == mixtures.Mixture(chosen, "3, 1 2.5")
    assert mixtures.kept(settings, OTHER) == mixtures.Mixture(), "nobody else's"
    mixtures.keep(settings, OTHER, chosen, "")
    assert mixtures.kept(settings, OTHER).gone == (alpaca.name,), "an upload is its visitor's only"

    page = FormHandlers(context)
    Path(alpaca.path).unlink()
    with pytest.warns(UserWarning, match=f"out of the mixture: {alpaca.name}"):
        first = page.first(ME)
    assert first["draft"].sources == chosen[1:] and first["weights"] == "1 2.5"
    assert alpaca.name not in first["mixture"] and "Apache-2.0" in first["mixture"]
    left = mixtures.kept(settings, ME)
    assert left == mixtures.Mixture(chosen[1:], "1 2.5"), "said once"
    for broken in ("", "[]", '{"sources": [1, {}]}'):
        (settings.data / "visitors" / ME[:16] / "mixture.json").write_text(broken)
        assert mixtures.kept(settings, ME).sources == ()


def test_steps_and_their_settings_are_kept_like_weights(context):
    settings, page, token = context.settings, FormHandlers(context), "secret"
    me = visitors.visitor_hash(token)
    start = mixtures.kept_choices(settings, me)
    assert start == {
        "steps": ["language", "exact", "near", "decontaminate"], "languages": ["en"],
        "similarity": 0.8, "least": 1, "most": 100_000, "max_bleu": 20.0, "budget": "",
        "limit": 0, "seed": 0, "tokenizer": "", "diversity": True,
    }  # fmt: skip
    values = [["exact", "length"], ["en", "de"], 0.9, 3, 500, 30, "0.3M", 7, 5, "org/lm", False]
    chosen = dict(zip(mixtures.CHOICES, values, strict=True))
    page.choose(token, Draft(loaded=False), **chosen)
    assert mixtures.kept_choices(settings, me) == start, "the page is still being loaded"
    page.choose(token, Draft(loaded=True), **chosen)
    assert mixtures.kept_choices(settings, me) == chosen
    first = page.first(me)
    assert {name: first[name] for name in mixtures.CHOICES} == chosen
    assert mixtures.kept_choices(settings, OTHER) == start
    broken = {**dict.fromkeys(mixtures.CHOICES), "steps": ["exact", "gone"]}
    page.choose(token, Draft(loaded=True), **broken)
    kept = {**start, "steps": ["exact"]}
    assert mixtures.kept_choices(settings, me) == kept, "what cannot be used"


def test_adding_and_taking_out_is_kept_at_once(context, alpaca):
    page, token = FormHandlers(context), "secret"
    me = visitors.visitor_hash(token)
    looked = Draft(previewed=sources.source_of(context.settings, "preset:dolly", me))
    now = page.add(token, looked, "2", "CC BY-SA 3.0")["draft"]
    (kept,) = mixtures.kept(context.settings, me).sources
    assert (kept.licence, now.sources) == ("CC BY-SA 3.0", (kept,))
    page.weigh(token, now, "1")
    assert mixtures.kept(context.settings, me).weights == "2", "the page is still being loaded"
    page.weigh(token, replace(now, loaded=True), "7")
    assert mixtures.kept(context.settings, me).weights == "7"
    page.remove({"at": "0"}, token, now, "7")
    assert mixtures.kept(context.settings, me).sources == ()


def test_kept_settings_are_no_uploads(context, alpaca):
    saved_forms.save(context.settings, ME, finetune.Form("mine", "pocket-broad", "b", "d"))
    assert [name for name, _ in sources.upload_choices(context.settings, ME)] == ["my-alpaca.jsonl"]
    assert not [v for _, v in sources.source_choices(context.settings, ME) if v.endswith(".json")]
