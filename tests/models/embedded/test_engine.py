"""The embedded engines, real ones: processes, threads, crashes, adapters."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import psutil
import pytest

from imitation.errors import BackendError
from imitation.models.backends.registry import complete
from imitation.models.embedded.engine import EmbeddedBackend, threads_per_engine
from imitation.models.embedded.gguf import write_lora
from imitation.settings import PACKAGE, Settings
from imitation.values import Delta, Done, Message, ModelSpec, Sampling, Sent

WHOLE = ModelSpec("whole", "Whole", "reference", "embedded", weights="whole", context=512)
CUT = replace(WHOLE, id="cut", name="Cut", role="base", weights="cut-4")
ASK = [Message("user", "Name three animals that live in the sea.")]
GREEDY = Sampling(temperature=0, max_tokens=24)
LONG = Sampling(temperature=1.0, max_tokens=400)


@pytest.fixture
async def engines(pocket_settings) -> AsyncIterator[EmbeddedBackend]:
    backend = EmbeddedBackend(pocket_settings)
    yield backend
    await backend.close()
    assert backend.status() == []


def with_settings(settings: Settings, **changes: object) -> EmbeddedBackend:
    return EmbeddedBackend(replace(settings, **changes))


async def eventually(true, within_s: float = 10.0) -> None:
    """Wait until `true()` holds."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "did not become true in time"
        await asyncio.sleep(0.05)


def slots(url: str) -> list[dict]:
    with urlopen(url.split("/v1")[0] + "/slots", timeout=10) as reply:
        return json.load(reply)


@pytest.mark.parametrize(
    ("cores", "engines", "threads"),
    [(2, 0, 2), (2, 1, 2), (2, 2, 1), (2, 3, 1), (8, 3, 2), (16, 5, 3), (1, 4, 1)],
)
def test_threads_of_all_engines_never_exceed_the_cores(cores, engines, threads):
    assert threads_per_engine(cores, engines) == threads
    assert threads * engines <= cores or threads == 1


@pytest.mark.slow
async def test_an_answer_streams_with_exact_counts_and_the_rendered_prompt(engines):
    eight = replace(GREEDY, max_tokens=8)
    events = [event async for event in engines.stream(WHOLE, ASK, eight)]
    sent, *deltas, done = events
    assert isinstance(sent, Sent) and isinstance(done, Done)
    assert sent.prompt.endswith(
        f"<|im_start|>user\n{ASK[0].content}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert len(deltas) > 4 and all(isinstance(event, Delta) for event in deltas)
    assert done.finish_reason == "length" and done.completion_tokens == 8
    assert not done.tokens_are_approximate and done.prompt_tokens > 20
    assert 0 < done.first_token_s < done.total_s
    drawn_by = {tuple(slot["params"]["samplers"]) for slot in slots(sent.url) if "params" in slot}
    assert drawn_by == {("temperature", "top_p")}, "only what Sent.parameters says"
    (status,) = engines.status()
    assert status.state == "idle" and status.threads == engines._settings.cores
    assert 100e6 < status.resident_bytes < 500e6


@pytest.mark.slow
async def test_requests_at_once_share_one_start_and_answer_alike(engines):
    answers = await asyncio.gather(*(complete(engines, WHOLE, ASK, GREEDY) for _ in range(3)))
    assert len(engines.status()) == 1
    assert len({answer.sent.url for answer in answers}) == 1
    assert all(answer.text for answer in answers)


@pytest.mark.slow
async def test_copies_share_the_cores_and_answer_like_one(pocket_settings):
    single = EmbeddedBackend(replace(pocket_settings, cores=2))
    several = EmbeddedBackend(replace(pocket_settings, cores=2, copies=4))
    asked = [[Message("user", f"Say the number {n} and its double.")] for n in range(6)]
    try:
        one = [(await complete(single, WHOLE, ask, GREEDY)).text for ask in asked]
        many = await asyncio.gather(*(complete(several, WHOLE, ask, GREEDY) for ask in asked))
        assert [answer.text for answer in many] == one
        assert [engine.threads for engine in single.status()] == [2]
        assert [engine.threads for engine in several.status()] == [1, 1], "no more than cores"
        assert len({engine.name for engine in several.status()}) == 2
    finally:
        await single.close()
        await several.close()


@pytest.mark.slow
async def test_a_seed_gives_the_same_answer_again(engines):
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=24, seed=7)
    texts = [(await complete(engines, WHOLE, ASK, sampling)).text for _ in range(3)]
    other = await complete(engines, WHOLE, ASK, replace(sampling, seed=8))
    assert len(set(texts)) == 1 and other.text != texts[0]


@pytest.mark.slow
async def test_closing_a_stream_stops_the_engines_work(engines):
    async with aclosing(engines.stream(WHOLE, ASK, LONG)) as events:
        async for event in events:
            if isinstance(event, Sent):
                url = event.url
            if isinstance(event, Delta):
                break
        assert any(slot["is_processing"] for slot in slots(url))
        assert engines.status()[0].state == "busy"
    await eventually(lambda: not any(slot["is_processing"] for slot in slots(url)), 2.0)
    (slot,) = [slot for slot in slots(url) if "next_token" in slot]
    assert slot["next_token"][0]["n_decoded"] < 300
    assert engines.status()[0].state == "idle"


@pytest.mark.slow
async def test_a_killed_engine_is_told_and_comes_back(engines):
    with pytest.raises(BackendError) as caught:
        async for event in engines.stream(WHOLE, ASK, LONG):
            if isinstance(event, Delta):
                os.kill(engines.status()[0].pid, signal.SIGKILL)
    assert str(caught.value).startswith(
        "The engine of Whole ended unexpectedly (signal 9, SIGKILL). Ask again"
    )
    assert caught.value.retryable
    assert (await complete(engines, WHOLE, ASK, GREEDY)).text


@pytest.mark.slow
async def test_an_engine_killed_while_idle_is_simply_started_again(engines):
    first = await complete(engines, WHOLE, ASK, GREEDY)
    os.kill(engines.status()[0].pid, signal.SIGKILL)
    await eventually(lambda: engines.status() == [])
    assert (await complete(engines, WHOLE, ASK, GREEDY)).text == first.text


@pytest.mark.slow
async def test_an_idle_engine_is_ended_and_a_busy_one_is_not(pocket_settings):
    engines = with_settings(pocket_settings, idle_s=0.4)
    try:
        stream = engines.stream(WHOLE, ASK, LONG)
        await anext(stream)
        pid = engines.status()[0].pid
        await asyncio.sleep(1.0)
        assert psutil.pid_exists(pid) and engines.status()[0].state == "busy"
        await stream.aclose()
        await eventually(lambda: engines.status() == [] and not psutil.pid_exists(pid))
    finally:
        await engines.close()


@pytest.mark.slow
async def test_cores_are_shared_out_among_the_columns(pocket_settings):
    engines = with_settings(pocket_settings, cores=4)
    told = []
    try:
        await engines.prepare([WHOLE])
        assert [engine.threads for engine in engines.status()] == [4]
        first = engines.status()[0].pid
        endpoint = replace(WHOLE, backend="openai", endpoint="http://127.0.0.1:9/v1")
        await engines.prepare([WHOLE, CUT, endpoint], lambda fraction, text: told.append(text))
        assert [engine.threads for engine in engines.status()] == [2, 2]
        for _ in range(100):  # ended aside, so that nobody waits for it
            if not psutil.pid_exists(first):
                break
            await asyncio.sleep(0.1)
        assert not psutil.pid_exists(first)
        command = psutil.Process(engines.status()[1].pid).cmdline()
        assert json.loads(command[-1])["threads"] == 2
        assert {text.split(" ")[0] for text in told} >= {"Starting"} and "is ready" in told[-1]
    finally:
        await engines.close()


@pytest.mark.slow
async def test_a_busy_engine_is_not_ended_for_another(engines):
    stream = engines.stream(WHOLE, ASK, replace(LONG, max_tokens=60))
    await anext(stream)
    pid = engines.status()[0].pid
    assert (await complete(engines, CUT, ASK, GREEDY)).text
    rest = [event async for event in stream]
    assert isinstance(rest[-1], Done)
    assert [engine.threads for engine in engines.status()] == [engines._settings.cores, 1]
    assert (await complete(engines, WHOLE, ASK, GREEDY)).text
    if engines._settings.cores > 1:
        assert pid not in [engine.pid for engine in engines.status()]
        assert sum(engine.threads for engine in engines.status()) <= engines._settings.cores


def adapter_card(folder: Path, name: str, scale: float) -> ModelSpec:
    """CUT with a random adapter on its q and v projections, `scale` times as strong."""
    rng = np.random.default_rng(0)
    tensors = {
        (layer, module): (rng.normal(size=(4, 576)) / 24, scale * rng.normal(size=(out, 4)))
        for layer in range(26)
        for module, out in (("q_proj", 576), ("v_proj", 192))
    }
    write_lora(folder / f"{name}.gguf", tensors, 4.0, heads=9, kv_heads=3)
    return replace(CUT, id=name, name=name, adapter=str(folder / f"{name}.gguf"))


@pytest.mark.slow
async def test_an_adapter_is_preloaded(engines, tmp_path):
    zero, strong = adapter_card(tmp_path, "zero", 0.0), adapter_card(tmp_path, "strong", 0.3)
    base, same, other = await asyncio.gather(
        *(complete(engines, card, ASK, GREEDY) for card in (CUT, zero, strong))
    )
    assert same.text == base.text != other.text
    assert (base.sent.adapter, other.sent.adapter) == (None, "strong.gguf")
    assert len({engine.pid for engine in engines.status()}) == 3


@pytest.mark.slow
async def test_an_adapter_of_another_base_is_refused_in_words(engines, tmp_path):
    card = replace(adapter_card(tmp_path, "misfit", 0.0), weights="cut-6")
    with pytest.raises(
        BackendError, match=r"misfit did not start: exit status 1: .*'blk\.24\.attn_q\.weight'"
    ):
        await complete(engines, card, ASK, GREEDY)
    base = await complete(engines, replace(card, adapter=""), ASK, GREEDY)
    assert base.done.completion_tokens


@pytest.mark.slow
async def test_weights_that_are_none_are_told_and_the_log_is_named(engines, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF\x03\0\0\0 and no more")
    card = replace(WHOLE, weights=str(bad))
    await engines.probe(card)
    with pytest.raises(
        BackendError, match=r"The engine of bad did not start: exit status 1: ."
    ) as caught:
        await complete(engines, card, ASK, GREEDY)
    assert "engine-bad.log" in caught.value.hint and engines.status() == []


async def test_a_probe_starts_nothing_and_gives_the_reason(pocket_settings, tmp_path):
    engines = EmbeddedBackend(pocket_settings)
    await engines.probe(WHOLE)
    with pytest.raises(BackendError, match=r"none\.gguf does not exist"):
        await engines.probe(replace(WHOLE, adapter=str(tmp_path / "none.gguf")))
    with pytest.raises(BackendError, match="no pocket weights 'cut-5'"):
        await engines.probe(replace(WHOLE, weights="cut-5"))
    empty = with_settings(pocket_settings, cache=tmp_path, offline=True, weights="")
    with pytest.raises(BackendError, match=r"Whole cannot start: .*IMITATION_OFFLINE"):
        await empty.probe(WHOLE)
    with pytest.raises(BackendError, match="IMITATION_OFFLINE"):
        await complete(empty, WHOLE, ASK, GREEDY)
    assert engines.status() == empty.status() == []


@pytest.mark.slow
async def test_closing_ends_busy_engines_and_starts_no_more(pocket_settings):
    engines = EmbeddedBackend(pocket_settings)
    stream = engines.stream(WHOLE, ASK, LONG)
    await anext(stream)
    pid = engines.status()[0].pid
    await engines.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(BackendError, match="shutting down"):
        async for _ in stream:
            pass
    with pytest.raises(BackendError, match="shutting down"):
        await complete(engines, WHOLE, ASK, GREEDY)
    await engines.close()


@pytest.mark.slow
def test_one_engine_answers_several_event_loops(pocket_settings):
    engines = EmbeddedBackend(pocket_settings)
    try:
        first = asyncio.run(complete(engines, WHOLE, ASK, GREEDY))
        second = asyncio.run(complete(engines, WHOLE, ASK, GREEDY))
        assert first.sent.url == second.sent.url and first.text == second.text
    finally:
        asyncio.run(engines.close())


@pytest.mark.slow
async def test_an_engine_dies_with_its_parent(pocket_settings):
    script = """
import asyncio, sys
from imitation.models.embedded.engine import EmbeddedBackend
from imitation.settings import read_settings
from imitation.values import ModelSpec
async def main():
    engines = EmbeddedBackend(read_settings())
    await engines.prepare([ModelSpec("w", "W", "base", "embedded", weights="whole")])
    heavy = {"torch", "transformers", "xllamacpp", "gguf", "numpy"} & set(sys.modules)
    print(engines.status()[0].pid, *heavy, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    env = {
        **os.environ,
        "PYTHONPATH": str(PACKAGE.parent),
        "IMITATION_CACHE": str(pocket_settings.cache),
        "IMITATION_DATA": str(pocket_settings.data),
    }
    parent = subprocess.Popen(
        [sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        pid, *heavy = (await asyncio.to_thread(parent.stdout.readline)).split()
        assert heavy == [], "the page's process must stay light"
        assert psutil.Process(int(pid)).is_running()
    finally:
        parent.kill()
        parent.communicate()
    await eventually(lambda: not psutil.pid_exists(int(pid)), 5.0)


@pytest.mark.slow
async def test_an_unwritable_data_folder_does_not_keep_an_engine_from_answering(
    pocket_settings, tmp_path
):
    (tmp_path / "data").write_text("a file where a folder should be")
    engines = with_settings(pocket_settings, data=tmp_path / "data")
    try:
        assert (await complete(engines, WHOLE, ASK, GREEDY)).text
    finally:
        await engines.close()
