"""After a fine-tune: pushed, served by a running server, its full card, and taken back."""

import asyncio
import json
import shutil
import sys
import time
from dataclasses import replace
from unittest.mock import Mock

import pytest

from dashboards.finetune import publish, publish_page
from dashboards.finetune.runs import Runs
from imitation.errors import BackendError, StorageError, UserError
from imitation.jobs.queue import runner
from imitation.jobs.registry import command_of
from imitation.values import JobSpec
from tests.models.http.test_load_adapter import FakeVLLM
from tests.models.servers import serving
from tests.training.fake_hub import TOKEN, FakeHub

pytestmark = pytest.mark.slow
ME, OTHER = "a" * 64, "b" * 64
SERVERS = """
[[model]]
id = "{backend}-base"
name = "LM on {backend}"
role = "base"
backend = "{backend}"
endpoint = "{endpoint}"
model = "lm"
"""


@pytest.fixture
def job(context, finished, monkeypatch):
    """A finished fine-tune of this visitor: what a real one left, under a job that does nothing."""
    out = shutil.copytree(finished.run, context.jobs.runs / "mine")
    table = {"preset": "pocket-local", "data": str(finished.dataset), "out": str(out)}
    spec = JobSpec("finetune", table, "mine", out=str(out), visitor=ME)
    nothing = (sys.executable, "-c", "pass")
    with monkeypatch.context() as patched:
        patched.setattr(runner, "command_of", lambda spec: nothing)
        return ended(context, context.jobs.submit(spec))


def ended(context, job):
    deadline = time.monotonic() + 60
    while context.jobs.look() and context.jobs.job(job.id).is_live:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return context.jobs.job(job.id)


def add_server(context, backend, endpoint):
    path = context.settings.data / "models.toml"
    before = path.read_text() if path.exists() else ""
    path.write_text(before + SERVERS.format(backend=backend, endpoint=endpoint))


def test_promoted_it_has_its_full_card_and_taken_out_nothing_is_left(context, job):
    Runs(context).promote(job.id, ME)
    place = context.settings.data / "adapters"
    assert {path.name for path in place.iterdir()} == {"mine.gguf", "mine.json", "mine.md"}
    card = json.loads((place / "mine.json").read_text())
    assert card["metrics"]["held_out_loss"] and card["prompt_format"]["format"] == "chat"
    assert card["data"]["dataset"]["name"] == "mix"
    with pytest.raises(UserError, match="Only who started"):
        publish.take_out(context, job.id, OTHER)
    assert publish.take_out(context, job.id, ME) == "mine is out of Compare."
    assert list(place.iterdir()) == [] and "mine" not in context.catalog()
    Runs(context).delete(job.id, ME)
    assert not (context.jobs.runs / "mine").exists()


def test_vllm_loads_it_at_once(context, job):
    kept = context.settings.data / "adapters"
    with serving(FakeVLLM()) as vllm:
        add_server(context, "openai", f"{vllm.url}/v1")
        with pytest.raises(BackendError, match="No adapter found"):
            publish.serve(context, job.id, ME, "openai-base", "/elsewhere")
        assert "mine" not in context.catalog() and not kept.exists(), "nothing is changed"
        said = publish.serve(context, job.id, ME, "openai-base", "/adapters/mine")
        assert said == "mine is in Compare, served by LM on openai."
        card = context.catalog()["mine"]
        assert (card.role, card.adapter, card.base) == ("imitation", "mine", "openai-base")
        assert vllm.adapters == {"mine": "/adapters/mine"}
        assert publish.take_out(context, job.id, ME) == "mine is out of Compare."
        assert vllm.adapters == {} and "mine" not in context.catalog()
        assert list(kept.iterdir()) == []


@pytest.mark.parametrize("broken", ["card", "catalog"])
def test_where_the_card_cannot_be_kept_nothing_is_changed_and_the_next_try_works(
    context, job, monkeypatch, broken
):
    with serving(FakeVLLM()) as vllm:
        add_server(context, "openai", f"{vllm.url}/v1")
        if broken == "card":
            weights = context.jobs.runs / "mine" / "checkpoint" / "training.json"
            weights.rename(weights.with_name("hidden"))
        else:
            full = StorageError("models.toml cannot be written: the disk is full.")
            monkeypatch.setattr(publish, "add_card", Mock(side_effect=full))
        with pytest.raises(UserError, match=r"no finished run|disk is full"):
            publish.serve(context, job.id, ME, "openai-base", "/adapters/mine")
        assert vllm.adapters == {} and "mine" not in context.catalog()
        assert list((context.settings.data / "adapters").glob("*")) == []
        if broken == "card":
            weights.with_name("hidden").rename(weights)
        monkeypatch.undo()
        assert "in Compare" in publish.serve(context, job.id, ME, "openai-base", "/adapters/mine")


def test_after_a_restart_of_its_server_it_is_loaded_again(context, job):
    handle = publish_page.PublishHandlers(context)
    token = "secret-of-a-visitor"
    with serving(FakeVLLM()) as vllm:
        add_server(context, "openai", f"{vllm.url}/v1")
        assert handle.show(token, {"run": job.id})["serve"]["value"] == "Serve there"
        publish.serve(context, job.id, ME, "openai-base", "/adapters/mine")
        vllm.restart()
        asyncio.run(context.health.check([context.catalog()["mine"]]))
        known = context.health.status("mine")
        assert known.state == "unreachable" and "no adapter 'mine'" in known.reason
        assert "load it again" in known.hint
        shown = handle.show(token, {"run": job.id})
        assert (shown["server"]["value"], shown["serve"]["value"]) == (
            "openai-base",
            "Load it again",
        )
        assert "cannot be asked now" in shown["notes"] and "no adapter" in shown["notes"]
        # No path typed: from where it was loaded before.
        assert "in Compare" in publish.serve(context, job.id, ME, "", "")
        assert vllm.adapters == {"mine": "/adapters/mine"}
        vllm.restart()
        assert publish.take_out(context, job.id, ME) == "mine is out of Compare.", "one thing"


def test_taken_out_while_its_server_is_down_says_what_may_be_left(context, job):
    with serving(FakeVLLM()) as vllm:
        add_server(context, "openai", f"{vllm.url}/v1")
        publish.serve(context, job.id, ME, "openai-base", "/adapters/mine")
    said = publish.take_out(context, job.id, ME)
    assert said.startswith("mine is out of Compare. Its server could not be told")
    assert "mine" not in context.catalog()
    assert list((context.settings.data / "adapters").iterdir()) == []


def test_a_model_of_that_name_from_elsewhere_is_in_the_way(context, job):
    Runs(context).promote(job.id, ME)
    add_server(context, "openai", "http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match="a model 'mine' already"):
        publish.serve(context, job.id, ME, "openai-base", "")


def test_tgi_is_left_to_be_restarted(context, job):
    add_server(context, "tgi", "http://127.0.0.1:9")
    said = publish.serve(context, job.id, ME, "tgi-base", "/adapters/mine")
    whole = "LORA_ADAPTERS=zero=/adapters/mine-zero,mine=/adapters/mine"
    assert f"restart it with {whole}, and with --cuda-graphs 0" in said
    assert context.catalog()["mine"].backend == "tgi"


def test_only_finished_runs_of_ones_own(context, job):
    add_server(context, "tgi", "http://127.0.0.1:9")
    for do in (
        lambda who: publish.serve(context, job.id, who, "tgi-base", ""),
        lambda who: publish.push(context, job.id, who, "me/mine", False),
    ):
        with pytest.raises(UserError, match="Only who started"):
            do(OTHER)
    with pytest.raises(UserError, match="No server is chosen"):
        publish.serve(context, job.id, ME, "pocket-base", "")


@pytest.mark.slow
def test_a_push_from_the_page(context, job, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UserError, match="HF_TOKEN is not set"):
        publish.push(context, job.id, ME, "me/mine", False)
    with serving(FakeHub()) as hub:
        for name, value in {
            "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0", "IMITATION_DATA": str(context.settings.data),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        pushed = publish.push(context, job.id, ME, "me/mine", False)
        assert TOKEN not in " ".join(command_of(pushed.spec))
        assert ended(context, pushed).state == "done"
        assert "README.md" in hub.files["me/mine"]
        (one,) = publish.pushes(context, job.id)
        assert (one.repo, one.state) == ("me/mine", "done")
    shown = publish_page.PublishHandlers(context).show("", {"run": job.id})
    assert "Sent: me/mine" in shown["notes"] and TOKEN not in shown["notes"]


def test_the_section_says_what_is_missing(context, job, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    handle = publish_page.PublishHandlers(context)
    said = handle.show("", {"run": job.id})["notes"]
    assert "set HF_TOKEN" in said and "models.toml" in said
    assert handle.show("", {"run": "none"})["notes"] == ""
    context.settings = replace(context.settings, jobs=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(UserError, match="IMITATION_JOBS"):
        publish.push(context, job.id, ME, "me/mine", False)
