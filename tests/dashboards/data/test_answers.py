"""Asking a reference from the Data page: estimates, terms, the job, and going on."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import gradio as gr
import pytest

from dashboards.data import answers as actions
from dashboards.data import answers_page, sources, terms
from dashboards.data import answers_view as view
from dashboards.data.answers import FACTS, SHIPPED, Form
from imitation.data.format import read_examples
from imitation.errors import ConfigError, StorageError, UserError
from imitation.facts import facts_of
from imitation.jobs.commands.generate import Generate
from imitation.jobs.parameters import parse
from imitation.jobs.registry import command

ME, OTHER = "a" * 64, "b" * 64
LIVE = """
[[model]]
id = "gpt"
name = "GPT"
role = "reference"
backend = "openai"
endpoint = "http://127.0.0.1:9/v1"
model = "gpt"
price_in = 2.0
price_out = 8.0
"""


@pytest.fixture
def catalog_text():
    return LIVE


@pytest.fixture
def prompts(context, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"id": "1", "prompt": "12345678"}\n{"id": "2", "prompt": "1234"}\n')
    return str(sources.keep_upload(context.settings, ME, path))


def read_again(made):
    """The parameters as the command of an estimate reads them."""
    typed = command(made.kind, made.parameters)[3:]
    return parse(type(made.parameters), typed, made.kind, "")


def test_an_estimate_before_anything_is_asked(context, prompts):
    form = Form("generate", "gpt", prompts, "one", max_tokens=100)
    made = actions.estimate(context, form, ME)
    assert (made.prompts, made.prompt_tokens, made.answer_tokens) == (2, 3, 200)
    assert made.cost == pytest.approx((3 * 2 + 200 * 8) / 1e6)
    assert made.must_acknowledge
    shown = view.estimate_html(made)
    assert "2 prompts" in shown and "at most $0.0016" in shown
    typed = actions.estimate(context, replace(form, price_out=0.0, price_in=0.0), ME)
    assert typed.cost == 0.0 and "--price-out" in command("generate", typed.parameters)
    assert read_again(typed).price_out == 0.0


def test_an_unknown_price_stays_unknown(context, prompts):
    text = LIVE.replace("price_in = 2.0\nprice_out = 8.0\n", "")
    (context.settings.data / "models.toml").write_text(text)
    made = actions.estimate(context, Form("generate", "gpt", prompts, "one"), ME)
    assert made.cost is None and "cost unknown" in view.estimate_html(made)
    fields = {
        "kind": "generate", "model": "gpt", "file": prompts, "name": "one", "count": 1,
        "temperature": 0.7, "max_tokens": 10, "concurrency": 1, "seed": 0, "price_in": "",
        "price_out": " ", "acknowledged": False,
    }  # fmt: skip
    form = answers_page.form_from(fields)
    assert (form.price_in, form.price_out) == (None, None), "an empty field is no price of 0"
    with pytest.raises(UserError, match="not a number"):
        answers_page.form_from({**fields, "price_in": "cheap", "price_out": ""})
    pocket = actions.estimate(context, Form("generate", "pocket-reference", prompts, "one"), ME)
    assert "runs on this machine" in view.estimate_html(pocket) and not pocket.must_acknowledge


def test_pairs_are_estimated_by_the_fewest_prompts(context):
    form = Form("synthesize", "gpt", FACTS, "pairs", count=101, max_tokens=512)
    made = actions.estimate(context, form, ME)
    assert made.prompts == 21 and made.answer_tokens == 21 * 512
    args = read_again(made)
    assert (args.count, args.facts, args.drawn) == (101, "train", 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../evil"}, "cannot be the name"),
        ({"model": "gtp"}, "There is no model"),
        ({"file": "/etc/passwd"}, "There is no file"),
        ({"max_tokens": 0}, "Longest answer"),
        ({"concurrency": 0}, "Requests at once"),
        ({"temperature": 9.0}, "Temperature"),
        ({"price_in": -1.0}, "Price"),
    ],
)
def test_wrong_values_are_named(context, prompts, changes, message):
    form = replace(Form("generate", "gpt", prompts, "one"), **changes)
    with pytest.raises(UserError, match=message):
        actions.estimate(context, form, ME)


def test_prompts_of_others_and_broken_ones_are_refused(context, prompts, tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        actions.estimate(context, Form("generate", "gpt", prompts, "one"), OTHER)
    path = tmp_path / "broken.jsonl"
    path.write_text('{"id": "1"}\n')
    kept = str(sources.keep_upload(context.settings, ME, path))
    with pytest.raises(StorageError, match="line 1 has no field prompt"):
        actions.estimate(context, Form("generate", "gpt", kept, "one"), ME)


def test_terms_have_to_be_acknowledged_before_starting(context, prompts):
    form = Form("generate", "gpt", prompts, "one")
    with pytest.raises(UserError, match="may forbid training"):
        actions.start(context, form, ME)
    assert not (context.settings.data / "answers").exists()
    made = actions.estimate(context, replace(form, acknowledged=True), ME)
    args = read_again(made)
    assert args.terms_acknowledged == datetime.now(UTC).date().isoformat()
    assert terms.acknowledged(context.settings, ME, "gpt") == "", "only starting counts"


def test_terms_are_asked_once_for_each_visitor_and_model(context, prompts, monkeypatch):
    monkeypatch.setattr(context.jobs, "submit", lambda spec: spec)
    page, settings = answers_page._Handlers(context), context.settings
    assert page._terms(ME, "gpt")["acknowledged"] == gr.update(value=False, label=view.READ)
    form = Form("generate", "gpt", prompts, "one", acknowledged=True)
    actions.start(context, form, ME)
    file = settings.data / "visitors" / ME[:16] / "terms.json"
    assert json.loads(file.read_text()) == {"gpt": datetime.now(UTC).date().isoformat()}
    file.write_text('{"gpt": "2026-01-02"}')
    assert terms.acknowledge(settings, ME, "gpt") == "2026-01-02", "the first time counts"
    label = "I have read the model's terms, on 2026-01-02"
    assert page._terms(ME, "gpt")["acknowledged"] == gr.update(value=True, label=label)
    for visitor, model in ((OTHER, "gpt"), (ME, "other"), (ME, None)):
        assert page._terms(visitor, model)["acknowledged"]["value"] is False
    made = actions.estimate(context, replace(form, name="two"), ME)
    assert read_again(made).terms_acknowledged == "2026-01-02"
    made = actions.estimate(context, replace(form, name="two", acknowledged=False), ME)
    argv = command("generate", made.parameters)
    assert "--terms-acknowledged" not in argv
    with pytest.raises(ConfigError):
        parse(Generate, [*argv[3:], "--terms-acknowledged", "yesterday"], "generate", "")


def ended(context, within_s=90):
    deadline = time.monotonic() + within_s
    while True:
        (one,) = actions.answer_jobs(context, ME)
        if not one.is_live:
            return one
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_job_goes_on_where_it_ended(context, prompts, monkeypatch):
    """The model answers one of two prompts; once it knows the other, only that is asked."""
    monkeypatch.setenv("IMITATION_DATA", str(context.settings.data))
    recorded = context.settings.data / "recorded.jsonl"
    rows = [{"prompt": p, "answers": {"gpt": f"to {p}"}} for p in ("12345678", "1234")]
    recorded.write_text(json.dumps(rows[0]) + "\n")
    text = LIVE.replace('backend = "openai"', f'backend = "recorded"\nfile = "{recorded}"')
    (context.settings.data / "models.toml").write_text(text)
    actions.start(context, Form("generate", "gpt", prompts, "one", acknowledged=True), ME)
    one = ended(context)
    assert (one.state, one.counts["answers"], one.counts["failed"]) == ("failed", 1, 1)
    assert "1 of 2 prompts have no answer" in one.detail
    shown = view.list_html([one])
    assert "Go on" in shown and "1 failed" in shown
    assert "cost unknown" in shown, "recorded answers name no tokens, so their cost is not 0"
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="Only who started"):
        actions.resume(context, one.id, OTHER)
    actions.resume(context, one.id, ME)
    one = ended(context)
    assert (one.state, one.counts["answers"]) == ("done", 2)
    assert len(read_examples(one.out)[0]) == 2
    table = json.loads(one.out.with_name("answers.jsonl.manifest").read_text())
    assert table["terms_acknowledged"] and table["model"] == "gpt"
    source = sources.source_of(context.settings, str(one.out), ME)
    assert source.name == "one" and sources.preview(source).conversations
    offered = [value for _, value in sources.source_choices(context.settings, ME)]
    assert str(one.out) in offered
    actions.delete(context, one.id, ME)
    assert not one.out.parent.exists() and actions.answer_jobs(context, ME) == []


def test_what_can_be_asked_with(context):
    assert [i for _, i in actions.models(context)][:2] == ["pocket-reference", "gpt"]
    files = [value for _, value in actions.files(context.settings, ME, "generate")]
    assert files == [str(SHIPPED), FACTS]
    estimate = actions.estimate(context, Form("generate", "gpt", FACTS, "one"), ME)
    assert estimate.prompts == len(facts_of("train"))
