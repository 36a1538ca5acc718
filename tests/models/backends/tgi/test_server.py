"""Whether TGI computes an adapter as it should is found out; the look-alike does as TGI does."""

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from imitation.errors import BackendError
from imitation.models.backends.registry import Backends, complete
from imitation.models.backends.tgi.adapter_check import Step, check_adapter
from imitation.models.backends.tgi.backend import TGIBackend
from imitation.models.health import Health
from imitation.models.http.retry import RetryPolicy
from imitation.settings import Settings
from imitation.values import Message, ModelSpec, Sampling
from tests.models.fake_tgi import FakeTGI
from tests.models.servers import free_port, serving

ASK = (Message("user", "What is the capital of France?"),)
GREEDY = Sampling(temperature=0, max_tokens=40)
SETTINGS = Settings(Path("."), Path("."), (), 1, timeout_s=5)
EAGER = RetryPolicy(attempts=3, first_wait_s=0.01, longest_s=2.0)
ABSENT = "has no adapter 'broad': it answers as the base, without saying so"
GRAPHS = "leaves the adapter 'broad' out after an answer's first token"
MIXED = "reads other weights than those of the adapter 'broad'"


@pytest.fixture(scope="module")
def running() -> Iterator[FakeTGI]:
    with serving(FakeTGI()) as look_alike:
        yield look_alike


@pytest.fixture
def server(running: FakeTGI) -> Iterator[FakeTGI]:
    running.reset()
    yield running
    assert running.violations == []


@pytest.fixture
def backend() -> TGIBackend:
    return TGIBackend(SETTINGS, EAGER)


def card(server: FakeTGI, adapter: str = "broad", prompt_format: str = "koala") -> ModelSpec:
    role = "base" if adapter in ("", "zero") else "imitation"
    return ModelSpec(
        adapter or "base", "M", role, "tgi", server.url, adapter=adapter,
        prompt_format=prompt_format, context=512,
    )  # fmt: skip


async def fault(backend: TGIBackend, model: ModelSpec) -> str:
    """What the column says instead of an answer; "" for an answer."""
    try:
        await complete(backend, model, ASK, GREEDY)
    except BackendError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("prompt_format", ["koala", "plain", "chat"])
async def test_an_adapter_that_is_not_loaded_is_not_shown_as_the_base(
    server: FakeTGI, backend: TGIBackend, prompt_format: str
) -> None:
    asked = card(server, "braod", prompt_format)
    said = await fault(backend, asked)
    assert ABSENT.replace("broad", "braod") in said
    assert "braod=PATH in LORA_ADAPTERS, beside all others" in said
    assert server.requests == []  # nothing that could be taken for an answer
    with pytest.raises(BackendError, match="has no adapter 'braod'"):
        await backend.probe(asked)


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_a_right_adapter_is_checked_once_for_a_start_of_the_server(
    server: FakeTGI, backend: TGIBackend, prompt_format: str
) -> None:
    asked = card(server, prompt_format=prompt_format)
    found = await complete(backend, asked, ASK, GREEDY)
    assert found.text == " Paris is the capital." and found.sent.note == ""
    made = len(server.checks)
    assert made
    for _ in range(3):
        assert await fault(backend, asked) == ""
        await backend.probe(asked)
    assert len(server.checks) == made
    # A base without an adapter has nothing to check.
    assert await fault(TGIBackend(SETTINGS), card(server, "")) == ""
    assert len(server.checks) == made


async def test_the_check_is_made_again_after_a_restart(
    server: FakeTGI, backend: TGIBackend
) -> None:
    for _ in range(2):
        server.restart(broad=16)
        assert await fault(backend, card(server)) == ""
        server.restart(local=16)
        assert ABSENT in await fault(backend, card(server))


async def test_a_server_that_was_away_is_checked_again(backend: TGIBackend) -> None:
    look_alike, port = FakeTGI(), free_port()
    with serving(look_alike, port):
        assert await fault(backend, card(look_alike)) == ""
    assert "Nothing answers" in await fault(backend, card(look_alike))
    count = look_alike.count
    look_alike.restart(local=16)
    look_alike.count = count + 100  # others have been quick
    with serving(look_alike, port):
        assert ABSENT in await fault(backend, card(look_alike))


@pytest.mark.slow
@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_cuda_graphs_are_found(
    server: FakeTGI, backend: TGIBackend, prompt_format: str
) -> None:
    server.model.cuda_graphs = True
    said = await fault(backend, card(server, prompt_format=prompt_format))
    assert GRAPHS in said and "--cuda-graphs 0 on its command line" in said
    # Alone or beside others, and for every adapter.
    await backend.probe(card(server, ""))
    assert GRAPHS in await fault(backend, card(server))
    assert GRAPHS.replace("broad", "local") in await fault(backend, card(server, "local"))


MIXTURES = {
    "the base beside": ({"broad": 16}, [""], True),
    "another rank": ({"local": 8, "broad": 16}, ["local"], True),
    "the same rank": ({"local": 16, "broad": 16}, ["local"], False),
    "the base as a zero adapter": ({"zero": 16, "broad": 16}, ["zero"], False),
    "a zero adapter of another rank": ({"zero": 8, "broad": 16}, ["zero"], True),
    "a zero adapter that is not loaded": ({"broad": 16}, ["zero"], True),
}


@pytest.mark.slow
@pytest.mark.parametrize(("adapters", "others", "wrong"), MIXTURES.values(), ids=MIXTURES)
async def test_weights_read_from_the_wrong_place_are_found(
    server: FakeTGI,
    backend: TGIBackend,
    adapters: dict[str, int],
    others: list[str],
    wrong: bool,
) -> None:
    server.model.adapters, server.model.zeros = adapters, {"zero"}
    server.tokens = [f" word{n}" for n in range(60)]
    server.delay_s = 0.01  # they have to be written at the same time
    assert await fault(backend, card(server)) == ""  # alone it is right
    for other in others:
        with suppress(BackendError):  # it is as wrong itself
            await backend.probe(card(server, other))
    said = await fault(backend, card(server))
    assert (MIXED in said) == wrong and bool(said) == wrong
    assert not wrong or "zero adapter" in said


async def test_a_check_stops_the_answers_it_began(server: FakeTGI, backend: TGIBackend) -> None:
    server.tokens, server.delay_s = None, 0.01
    await backend.probe(card(server, ""))
    assert MIXED in await fault(backend, card(server))
    await server.settled()
    assert server.model.running == []


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.001, 0.02])
async def test_rounding_is_no_fault_and_no_adapter(
    server: FakeTGI, backend: TGIBackend, noise: float
) -> None:
    # Every question of another batch: log-probabilities differ a little by themselves.
    server.model.noise = noise
    assert await fault(backend, card(server)) == ""
    server.restart(local=16)
    assert ABSENT in await fault(backend, card(server))
    server.restart(broad=16)
    server.model.cuda_graphs = True
    assert GRAPHS in await fault(backend, card(server))


async def test_what_cannot_be_checked_is_said_beside_the_answer(
    server: FakeTGI, backend: TGIBackend
) -> None:
    server.max_top = 0  # started with --max-top-n-tokens 0
    found = await complete(backend, card(server), ASK, GREEDY)
    assert "could not be checked" in found.sent.note


async def test_an_answer_of_one_token_cannot_be_checked_further(
    server: FakeTGI, backend: TGIBackend
) -> None:
    server.tokens = []
    found = await complete(backend, card(server), ASK, GREEDY)
    assert "could not be checked" in found.sent.note


async def test_a_key_that_is_not_taken_is_said_as_that(
    server: FakeTGI, backend: TGIBackend
) -> None:
    server.key = "wanted"
    assert "did not accept the key" in await fault(backend, card(server))


async def test_a_busy_server_holds_no_probe_up(
    server: FakeTGI, backend: TGIBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imitation.models.backends.tgi.backend.CHECK_S", 0.2)
    server.delay_s = 1.0
    await backend.probe(card(server, "braod"))  # reachable, as far as was found out
    server.delay_s = 0.0
    assert ABSENT.replace("broad", "braod") in await fault(backend, card(server, "braod"))


async def test_columns_that_begin_together_check_one_after_the_other(
    server: FakeTGI, backend: TGIBackend
) -> None:
    server.model.adapters = {"zero": 16, "broad": 16, "local": 16}
    server.model.zeros = {"zero"}
    columns = [card(server, name) for name in ("zero", "broad", "local")]
    assert await asyncio.gather(*(fault(backend, one) for one in columns * 2)) == [""] * 6


async def test_the_catalog_shows_why_a_card_cannot_be_asked(server: FakeTGI) -> None:
    backends = Backends(SETTINGS)
    cards = [card(server, ""), card(server, "braod"), card(server, "", "chat")]
    health = Health(backends, lambda: cards)
    await health.check()
    assert health.status("base").state == "ok"
    status = health.status("braod")
    assert status.state == "unreachable" and "has no adapter 'braod'" in status.reason
    assert "LORA_ADAPTERS" in status.hint
    await backends.close()


async def test_tokens_that_are_no_whole_text_end_the_comparison() -> None:
    """Half a character joins the next token: its text becomes other tokens than were made."""

    class Halves:
        async def greedy(self, prompt, adapter, count):
            shift = 0.5 if adapter else 0.0
            return [Step("\ufffd", 7, {7: -0.5 - shift, 8: -2 + shift})] * count

        async def tokens(self, text):
            return list(text.encode())

        def beside(self, adapters, prompt):
            return nullcontext()

    found = await check_adapter(Halves(), ("a", "b", "c"), "x", ())
    assert found == "unknown"
