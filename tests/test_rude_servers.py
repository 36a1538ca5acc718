"""What rude servers send comes out as the answer, or as their reason in words: everywhere."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from dashboards.api import actions as api
from dashboards.compare.question import Question
from dashboards.compare.session import Session
from dashboards.compare.view import arena_html
from dashboards.shell.context import Context
from imitation.data.format import read_examples
from imitation.errors import BackendError
from imitation.jobs import batch_completion
from imitation.jobs.batch_completion import Answering
from imitation.jobs.commands import generate
from imitation.jobs.prompt_files import Prompt
from imitation.models.backends.openai_compatible import OpenAIBackend
from imitation.models.backends.registry import Backends
from imitation.models.catalog import Catalog
from imitation.models.http.retry import RetryPolicy
from imitation.settings import read_settings
from imitation.storage import comparisons
from imitation.storage.database import connect
from imitation.values import Delta, Done, Message, ModelSpec
from tests.models.backends.test_openai_compatible import GREEDY, card, seen, settings
from tests.models.fake_openai import FakeOpenAI
from tests.models.rude import ANSWER, RUDE, Rude
from tests.models.servers import serving

EVERY = pytest.mark.parametrize(("name", "how"), RUDE.items(), ids=list(RUDE))


@pytest.fixture(scope="module")
def server():
    with serving(FakeOpenAI()) as look_alike:
        look_alike.rude = True
        yield look_alike


@pytest.fixture(scope="module")
def polite():
    with serving(FakeOpenAI()) as look_alike:
        yield look_alike


@EVERY
async def test_the_answer_or_the_reason(server: FakeOpenAI, name: str, how: Rude) -> None:
    backend = OpenAIBackend(settings(timeout_s=5), RetryPolicy(attempts=1))
    events, error = await seen(backend, card(server), [Message("user", name)])
    await backend.close()
    text = "".join(e.text for e in events if isinstance(e, Delta))
    assert text == how.text
    if how.words:
        assert isinstance(error, BackendError) and how.words in str(error)
        return
    assert error is None
    done = events[-1]
    assert isinstance(done, Done) and done.finish_reason == how.finish
    assert done.tokens_are_approximate is (how.tokens is None)
    assert how.tokens is None or done.completion_tokens == how.tokens
    assert done.tokens_per_s is None or done.arrivals > 1


async def test_text_that_came_at_once_has_no_speed(server: FakeOpenAI) -> None:
    backend = OpenAIBackend(settings(), RetryPolicy(attempts=1))
    for name in ("one packet", "a whole answer"):
        events, _ = await seen(backend, card(server), [Message("user", name)])
        assert events[-1].arrivals == 1 and events[-1].completion_tokens == 5
        assert events[-1].tokens_per_s is None
    events, _ = await seen(backend, card(server), [Message("user", "counts as strings")])
    assert events[-1].arrivals == 2 and events[-1].tokens_per_s > 0
    await backend.close()


@pytest.fixture
def context(server: FakeOpenAI, polite: FakeOpenAI, tmp_path: Path) -> Context:
    folders = {"IMITATION_DATA": str(tmp_path), "IMITATION_CACHE": str(tmp_path)}
    found = read_settings(folders)
    context = Context(found, connect(found.database), Backends(found))

    def model(id: str, role: str, there: FakeOpenAI) -> ModelSpec:
        url = f"{there.url}/v1"
        return ModelSpec(id, id, role, "openai", endpoint=url, model="llama-7b")

    cards = [
        model("b", "base", polite), model("i", "imitation", server), model("r", "reference", polite)
    ]  # fmt: skip
    context.catalog = lambda: Catalog(cards)
    return context


@EVERY
async def test_a_rude_column_among_others(context: Context, name: str, how: Rude) -> None:
    session = Session(context, "anna")
    async for _ in session.ask(Question(name, ("b", "i", "r"), sampling=GREEDY)):
        arena_html(session).encode()
    _check([(a.state, a.text, a.error) for a in session.answers], how)
    stored = comparisons.load(context.db, session.comparison.id)
    assert stored.turns[0].answers[1].text == how.text
    "".join(comparisons.export_lines([stored])).encode()
    async for shot in api.compare(context, name, ["b", "i", "r"], "", GREEDY):
        json.dumps(shot, ensure_ascii=False).encode()
    _check([(c["state"], c["text"], c["error"]) for c in shot["columns"]], how)
    await context.backends.close()


def _check(columns: list[tuple[str, str, object]], how: Rude) -> None:
    for state, text, error in (columns[0], columns[2]):
        assert (state, text, error) == ("done", ANSWER, None)
    state, text, error = columns[1]
    assert text == how.text and state == ("failed" if how.words else "done")
    assert how.words in " ".join([error] if isinstance(error, str) else error or [""])


def test_a_job_that_asks_a_rude_server(
    server: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_completion, "WAITS_S", ())
    monkeypatch.setattr(generate, "HOPELESS", 10**6)
    prompts = [Prompt(name, name) for name in RUDE]
    out = tmp_path / "out.jsonl"

    async def go() -> int:
        backends = Backends(read_settings({}))
        asking = Answering(backends, card(server))
        missing = await generate.generate(asking, prompts, GREEDY, out, 8, io.StringIO())
        await backends.close()
        return missing

    missing = asyncio.run(go())
    examples, refused = read_examples(out)
    whole = {name: how.text for name, how in RUDE.items() if not how.words}
    assert not refused and {e.id: e.messages[1].content for e in examples} == whole
    assert missing == len(RUDE) - len(whole)
    failures = out.with_suffix(".jsonl.failures.jsonl").read_text("utf-8").splitlines()
    told = {row["id"]: row["error"] for row in map(json.loads, failures)}
    for name, how in RUDE.items():
        if how.words:
            assert how.words in told[name]
