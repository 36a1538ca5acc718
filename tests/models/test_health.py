import asyncio
import logging
import time
from pathlib import Path

import pytest

from imitation.errors import BackendError
from imitation.models.backends.registry import Backends
from imitation.models.health import Health
from imitation.settings import Settings
from imitation.values import ModelSpec
from tests.models.fake_openai import FakeOpenAI
from tests.models.fake_tgi import FakeTGI
from tests.models.servers import free_port, serving

SETTINGS = Settings(Path("."), Path("."), (), 1)


@pytest.fixture(scope="module")
def tgi():
    with serving(FakeTGI()) as server:
        yield server


@pytest.fixture(scope="module")
def openai():
    with serving(FakeOpenAI()) as server:
        yield server


@pytest.fixture
async def backends():
    found = Backends(SETTINGS)
    yield found
    await found.close()


def a_card(id: str, backend: str, endpoint: str, **values) -> ModelSpec:
    return ModelSpec(id, id.upper(), "base", backend, endpoint=endpoint, **values)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_reachable_and_unreachable_models_are_told_apart(tgi, openai, backends):
    tgi.reset(), openai.reset()
    nobody = f"http://127.0.0.1:{free_port()}"
    cards = [
        a_card("tgi", "tgi", tgi.url),
        a_card("vllm", "openai", openai.url + "/v1", adapter="broad"),
        a_card("astray", "openai", openai.url + "/v1", adapter="none such"),
        a_card("nobody", "tgi", nobody),
        a_card("keyless", "openai", openai.url + "/v1", api_key_env="NO_SUCH_KEY_SET"),
    ]
    health = Health(backends, lambda: cards)
    assert health.status("tgi").state == "unknown" and health.status("tgi").checked_at is None
    before = time.time()
    await health.check()
    assert health.status("tgi").state == health.status("vllm").state == "ok"
    assert before <= health.status("tgi").checked_at <= time.time()
    assert "no adapter" in health.status("astray").reason
    assert health.status("nobody").reason == f"Nothing answers at {nobody}."
    assert "NO_SUCH_KEY_SET" in health.status("keyless").reason
    assert tgi.requests == openai.requests == []


async def test_it_goes_on_asking_and_follows_the_catalog(tgi, backends):
    tgi.reset()
    cards = [a_card("a", "tgi", tgi.url)]
    health = Health(backends, lambda: cards, interval_s=0.05)
    health.start()
    task = health._task
    health.start()
    assert health._task is task
    await until(lambda: health.status("a").state == "ok")
    tgi.healthy = False
    await until(lambda: health.status("a").state == "unreachable")
    assert "loading" in health.status("a").reason
    cards[:] = [a_card("b", "tgi", tgi.url)]
    tgi.healthy = True
    await until(lambda: health.status("b").state == "ok")
    await until(lambda: health.status("a").state == "unknown")
    await health.stop()
    await health.stop()
    assert task.cancelled()


@pytest.mark.slow
async def test_a_server_that_never_answers_holds_nothing_up(tgi, backends):
    tgi.reset()
    silent = await asyncio.start_server(lambda r, w: asyncio.sleep(3600), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    cards = [a_card("mute", "openai", f"http://127.0.0.1:{port}/v1"), a_card("a", "tgi", tgi.url)]
    health = Health(backends, lambda: cards)
    start = time.perf_counter()
    checking = asyncio.create_task(health.check())
    await until(lambda: health.status("a").state == "ok")
    assert time.perf_counter() - start < 2.5 and health.status("mute").state == "unknown"
    await checking
    assert time.perf_counter() - start < 5
    assert "silent for 3 s" in health.status("mute").reason
    silent.close()


async def test_loading_a_backend_does_not_hold_the_loop_up(monkeypatch):
    def slow(module):
        time.sleep(1.0)
        raise BackendError("not installed")

    monkeypatch.setattr("importlib.import_module", slow)
    health = Health(Backends(SETTINGS), lambda: [a_card("a", "tgi", "http://127.0.0.1:1")])
    checking = asyncio.create_task(health.check())
    longest, last = 0.0, time.perf_counter()
    while not checking.done():
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert longest < 0.8
    assert health.status("a").reason == "not installed"


async def test_a_fault_of_ours_is_logged_and_survived(tgi, caplog):
    class Broken:
        def __getitem__(self, name):
            return self

        async def probe(self, card):
            raise RuntimeError("a bug")

    tgi.reset()
    health = Health(Broken(), lambda: [a_card("a", "tgi", tgi.url)])
    with caplog.at_level(logging.ERROR):
        await health.check()
    assert health.status("a").state == "unknown" and "a bug" in caplog.text
