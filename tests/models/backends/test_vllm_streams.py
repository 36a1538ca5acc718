"""Streams of a real vLLM: how they end, and where they go."""

from __future__ import annotations

import pytest

from imitation.errors import BackendError
from imitation.models.backends.openai_compatible import OpenAIBackend
from imitation.models.backends.registry import complete
from imitation.models.http.retry import RetryPolicy
from imitation.values import Delta, Message, ModelSpec, Sampling
from tests.models.backends.test_openai_compatible import seen, settings
from tests.vllm_server import VLLM

pytestmark = pytest.mark.slow
ASK = (Message("user", "Name three rivers."),)


def card(vllm: VLLM, prompt_format: str = "chat", **values: object) -> ModelSpec:
    endpoint = vllm.endpoint + str(values.pop("query", ""))
    given = {"model": "base", "context": 100_000} | values
    return ModelSpec(
        "v", "V", "base", "openai", endpoint=endpoint, prompt_format=prompt_format, **given
    )


@pytest.fixture
async def backend():
    found = OpenAIBackend(settings(timeout_s=120), RetryPolicy(attempts=1))
    yield found
    await found.close()


@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
async def test_an_answer_its_counts_and_its_speed(
    vllm: VLLM, backend: OpenAIBackend, prompt_format: str
) -> None:
    drawn = Sampling(temperature=0, max_tokens=24)
    asked = card(vllm, prompt_format, query="?api-version=1")
    events, error = await seen(backend, asked, ASK, drawn)
    assert error is None
    sent, *deltas, done = events
    assert sent.url.endswith("completions?api-version=1")
    assert done.finish_reason in ("stop", "length") and not done.tokens_are_approximate
    assert 0 < done.completion_tokens <= 24 and done.prompt_tokens > 3
    assert len(deltas) > 1 and done.arrivals > 1 and done.tokens_per_s > 0
    again = await complete(backend, asked, ASK, drawn)
    assert again.text == "".join(d.text for d in deltas)


async def test_a_context_too_short_for_the_answer_is_told_of(
    vllm: VLLM, backend: OpenAIBackend
) -> None:
    # It has a context of 1024, and shortens without a word.
    long = (Message("user", "word " * 960 + "Go on: "),)
    found = await complete(backend, card(vllm, "plain"), long, Sampling(0, 1, 300))
    assert found.done.finish_reason == "length" and found.done.completion_tokens < 300
    assert found.done.was_shortened
    short = await complete(backend, card(vllm), ASK, Sampling(0, 1, 4))
    assert short.done.finish_reason == "length" and not short.done.was_shortened


async def test_characters_of_many_bytes_come_whole(vllm: VLLM, backend: OpenAIBackend) -> None:
    asked = (Message("user", "👩\u200d🚀 日本 😀😀😀😀 \ud83d"),)
    drawn = Sampling(temperature=1.5, max_tokens=48, seed=5)
    events, error = await seen(backend, card(vllm, "plain"), asked, drawn)
    assert error is None
    "".join(e.text for e in events if isinstance(e, Delta)).encode()


async def test_its_own_reasons(vllm: VLLM, backend: OpenAIBackend) -> None:
    for asked, messages, words in (
        (card(vllm, model="nobody"), ASK, "has no model 'nobody'"),
        (card(vllm), (Message("user", "word " * 3000),), "too long for V"),
    ):
        with pytest.raises(BackendError, match=words):
            await complete(backend, asked, messages, Sampling(max_tokens=8))
