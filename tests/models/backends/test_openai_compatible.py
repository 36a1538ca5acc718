import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards.shell.components import answer_meta
from imitation.errors import BackendError
from imitation.models.backends.openai_compatible import OpenAIBackend
from imitation.models.backends.registry import complete
from imitation.models.http.retry import RetryPolicy
from imitation.settings import Settings
from imitation.values import Answer, Delta, Done, Message, ModelSpec, Sampling, Sent
from tests.models.fake_openai import FakeOpenAI
from tests.models.servers import free_port, serving

ASK = (Message("user", "What is the capital of France?"),)
GREEDY = Sampling(temperature=0, max_tokens=40)
KEY = "sk-very-secret-123456"
EAGER = RetryPolicy(attempts=3, first_wait_s=0.01, longest_s=2.0)


def settings(timeout_s: float = 5.0, offline: bool = False) -> Settings:
    return Settings(Path("."), Path("."), (), 1, timeout_s=timeout_s, offline=offline)


@pytest.fixture(scope="module")
def running():
    with serving(FakeOpenAI()) as look_alike:
        yield look_alike


@pytest.fixture
def server(running):
    running.reset()
    return running


@pytest.fixture
async def backend():
    found = OpenAIBackend(settings(), EAGER)
    yield found
    await found.close()


def card(server: FakeOpenAI | str, prompt_format: str = "chat", **values) -> ModelSpec:
    url = server if isinstance(server, str) else server.url
    values = {"context": 512, "model": "llama-7b", **values}
    return ModelSpec(
        "m", "LLaMA", "base", "openai", endpoint=f"{url}/v1", prompt_format=prompt_format, **values
    )


async def seen(
    backend, card, messages=ASK, sampling=GREEDY, **more
) -> tuple[list, BackendError | None]:
    """Events until the end, and the error that was the end."""
    found = []
    try:
        async for event in backend.stream(card, messages, sampling, **more):
            found.append(event)
    except BackendError as error:
        return found, error
    return found, None


# ---- answers


async def test_chat(server, backend):
    events, error = await seen(backend, card(server))
    assert error is None
    sent, *deltas, done = events
    assert [d.text for d in deltas] == ["Paris", " is", " the", " capital", "."]
    assert sent.url == f"{server.url}/v1/chat/completions" and sent.prompt is None
    assert server.body == {
        "model": "llama-7b",
        "messages": [{"role": "user", "content": ASK[0].content}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 40,
        "temperature": 0,
    }
    assert (done.prompt_tokens, done.completion_tokens) == (7, 5)
    assert not done.tokens_are_approximate and done.finish_reason == "stop"
    assert 0 < done.first_token_s <= done.total_s


async def test_plain_completions_send_the_rendered_prompt(server, backend):
    events, error = await seen(backend, card(server, "koala"), sampling=Sampling(stop=("\n",)))
    assert error is None
    sent = events[0]
    assert server.requests[-1][0] == "/v1/completions"
    assert server.body["prompt"] == sent.prompt
    assert sent.prompt == f"BEGINNING OF CONVERSATION: USER: {ASK[0].content} GPT:"
    assert tuple(server.body["stop"]) == sent.stop == ("</s>", "USER:", "\n")


async def test_sampling_is_sent_as_told(server, backend):
    sampling = Sampling(temperature=0.5, top_p=0.8, max_tokens=9, seed=0, stop=("x",))
    events, _ = await seen(backend, card(server), sampling=sampling)
    told = events[0].parameters
    assert told == {"max_tokens": 9, "temperature": 0.5, "top_p": 0.8, "seed": 0}
    assert told.items() <= server.body.items() and server.body["stop"] == ["x"]


async def test_an_adapter_is_the_models_name(server, backend):
    events, _ = await seen(backend, card(server, adapter="broad"))
    assert server.body["model"] == events[0].model == events[0].adapter == "broad"


async def test_a_card_without_a_model_takes_the_servers_first(server, backend):
    await seen(backend, card(server, model=""))
    assert server.body["model"] == "llama-7b"


async def test_a_server_without_usage_gets_its_pieces_counted(server, backend):
    server.usage = False
    found = await complete(backend, card(server), ASK, GREEDY)
    assert found.done.completion_tokens == 5 and found.done.tokens_are_approximate
    assert found.done.prompt_tokens is None


async def test_reasoning_is_not_part_of_the_answer(server, backend):
    server.fail("reasoning")
    found = await complete(backend, card(server), ASK, GREEDY)
    assert found.text == "Paris is the capital."


async def test_the_length_limit_is_said(server, backend):
    found = await complete(backend, card(server), ASK, Sampling(max_tokens=2))
    assert (found.text, found.done.finish_reason) == ("Paris is", "length")


async def test_a_server_that_ignores_stop_strings_is_cut_and_stopped(server, backend):
    server.pieces, server.delay_s = None, 0.01
    sampling = Sampling(temperature=0, max_tokens=400, stop=(" 3",))
    found = await complete(backend, card(server, "koala"), ASK, sampling)
    assert found.text == " 0 1 2" and found.done.finish_reason == "stop"
    assert await server.settled() < 50


async def test_openai_itself_gets_its_newer_name_for_the_limit():
    from imitation.models.backends.openai_compatible import _parameters

    there = ModelSpec("m", "GPT", "reference", "openai", endpoint="https://api.openai.com/v1")
    assert "max_completion_tokens" in _parameters(there, GREEDY, chat=True)
    assert "max_tokens" in _parameters(there, GREEDY, chat=False)


@pytest.mark.parametrize("prompt_format", ["chat", "koala"])
@pytest.mark.parametrize(
    "text", ["", "\x00", "مرحبا", "👩‍🚀\u2028", "<script>", "\ud800 half", "data: [DONE]\n\n"]
)
async def test_odd_prompts_arrive_as_they_are(server, backend, prompt_format, text):
    events, error = await seen(backend, card(server, prompt_format), (Message("user", text),))
    assert error is None
    wanted = text.replace("\ud800", "\ufffd")
    assert events[0].messages[0].content == wanted
    assert wanted in (server.body.get("prompt") or server.body["messages"][0]["content"])


async def test_odd_answers_arrive_as_they_are(server, backend):
    server.pieces = ["a\u2028b", "\x85", "\r\n", "\n\n", "👩\u200d🚀", "data: [DONE]"]
    found = await complete(backend, card(server), ASK, GREEDY)
    assert found.text == "".join(server.pieces)


@pytest.mark.parametrize("prompt_format", ["chat", "koala"])
@pytest.mark.parametrize("endpoint", ["/v1?api-version=1&x=%20a", "/v1/?api-version=1&x=%20a"])
async def test_an_address_keeps_its_query_at_the_end(server, backend, prompt_format, endpoint):
    asked = replace(card(server, prompt_format, model=""), endpoint=server.url + endpoint)
    await backend.probe(asked)
    events, error = await seen(backend, asked)
    assert error is None
    path = "/v1/chat/completions" if prompt_format == "chat" else "/v1/completions"
    assert events[0].url == f"{server.url}{path}?api-version=1&x=%20a"
    assert server.urls[-1] == events[0].url, "what was sent is where it went"


async def test_a_server_that_shortens_is_told_of(server, backend):
    server.most = 2
    found = await complete(backend, card(server), ASK, GREEDY)
    assert found.done.was_shortened and found.done.max_tokens == 40
    html = "".join(answer_meta(Answer(done=found.done, state="done")))
    assert "cut off by the server: 40 tokens were asked for" in html
    server.most = None
    found = await complete(backend, card(server), ASK, Sampling(max_tokens=2))
    assert not found.done.was_shortened


# ---- the context


CHAT = tuple(
    Message("user" if n % 2 == 0 else "assistant", f"turn {n} " + "word " * 40) for n in range(21)
)


async def test_old_turns_are_dropped_by_an_estimate_that_says_so(server, backend):
    events, error = await seen(backend, card(server), CHAT)
    sent = events[0]
    assert error is None and "estimate" in sent.note
    assert sent.dropped + sent.messages == CHAT and sent.messages[0].role == "user"
    assert 0 < len(sent.dropped) < 20


async def test_hooks_count_exactly_and_show_the_prompt(server, backend):
    told = card(server)
    events, error = await seen(backend, told, CHAT, hooks=backend.llama_hooks(told))
    sent = events[0]
    assert error is None and sent.note == "" and sent.dropped
    assert sent.prompt == "".join(f"[{m.role}]{m.content}" for m in sent.messages) + "[assistant]"
    # 472 words of room, 42 a turn: eleven turns fit, and the first kept must be a query.
    assert len(sent.messages) == 11


async def test_a_prompt_too_long_alone_is_refused_before_it_is_sent(server, backend):
    told = card(server)
    long = (Message("user", "word " * 500),)
    _, error = await seen(backend, told, long, hooks=backend.llama_hooks(told))
    assert "takes 501 tokens" in error.message and "room for 472" in error.message
    _, error = await seen(backend, told, (Message("user", "word " * 20_000),))
    assert "at least about" in error.message
    assert server.requests == []


async def test_hooks_of_a_server_without_them_do_not_stop_an_answer(server, backend):
    told = card(server)
    elsewhere = backend.llama_hooks(card(f"http://127.0.0.1:{free_port()}"))
    events, error = await seen(backend, told, hooks=elsewhere)
    assert error is None and events[0].prompt is None


# ---- stopping


@pytest.mark.parametrize("prompt_format", ["chat", "koala"])
@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_stopping_stops_the_server(server, backend, prompt_format, how):
    server.pieces, server.delay_s = None, 0.01
    wanted = Sampling(temperature=0, max_tokens=400)

    async def read(enough: int) -> None:
        async with aclosing(backend.stream(card(server, prompt_format), ASK, wanted)) as events:
            async for event in events:
                enough -= isinstance(event, Delta)
                if enough == 0:
                    return

    if how == "aclose":
        await read(5)
    else:
        task = asyncio.create_task(read(1000))
        while server.produced < 5:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert 5 <= await server.settled() < 60


# ---- faults


@pytest.mark.parametrize("fault", ["rate limit", "loading", "early error"])
async def test_a_busy_server_is_asked_again(server, backend, fault):
    server.fail(fault, fault)
    events, error = await seen(backend, card(server))
    assert error is None and isinstance(events[-1], Done)
    assert len(server.requests) == 3
    assert sum(isinstance(e, Sent) for e in events) == 1


async def test_a_busy_server_is_not_asked_for_ever(server, backend):
    server.fail(*["rate limit"] * 9)
    _, error = await seen(backend, card(server))
    assert "too many requests (429)" in error.message and error.retryable
    assert len(server.requests) == 3


async def test_retry_after_is_honoured_and_bounded(server, backend):
    server.fail("loading", retry_after=1)
    start = time.perf_counter()
    _, error = await seen(backend, card(server))
    assert error is None and 1.0 <= time.perf_counter() - start < 2.5
    server.fail("rate limit", retry_after=60)
    _, error = await seen(backend, card(server))
    assert "asks to wait 60 s" in error.message and len(server.requests) == 3


FAULTS = {
    "forbidden": (403, "does not allow this key"),
    "quota": (429, "no quota left"),
    "bug": (500, "list index out of range"),
    "overflow": (400, "conversation is too long"),
    "bad parameter": (400, "temperature must be at most 2"),
    "unprocessable": (422, "Input should be below 1"),
    "proxy page": (502, "failed at"),
}


@pytest.mark.parametrize("prompt_format", ["chat", "koala"])
@pytest.mark.parametrize(("fault", "told"), FAULTS.items())
async def test_refusals_are_told_in_words_and_not_retried(
    server, backend, prompt_format, fault, told, monkeypatch
):
    monkeypatch.setenv("MY_KEY", KEY)
    server.fail(fault)
    events, error = await seen(backend, card(server, prompt_format, api_key_env="MY_KEY"))
    status, words = told
    assert error.status == status and words in error.message
    assert len(server.requests) == 1 and len(events) == 1
    assert KEY not in str(error) and "<html" not in str(error)


BREAKS = {
    "drop": "broke off",
    "truncate": "broke off",
    "malformed": "not an event",
    "not an event": "not an event",
    "late error": "slot was lost",
}


@pytest.mark.parametrize("prompt_format", ["chat", "koala"])
@pytest.mark.parametrize(("fault", "words"), BREAKS.items())
async def test_breaks_in_mid_stream_keep_the_text_and_are_not_retried(
    server, backend, prompt_format, fault, words
):
    server.fail(fault)
    events, error = await seen(backend, card(server, prompt_format))
    assert words in error.message and len(server.requests) == 1
    assert [e.text for e in events if isinstance(e, Delta)] == ["Paris", " is"]


async def test_silence_ends_a_request(server):
    backend = OpenAIBackend(settings(timeout_s=0.4), EAGER)
    server.fail("hang")
    events, error = await seen(backend, card(server))
    assert "silent for 0.4 s" in error.message
    assert sum(isinstance(e, Delta) for e in events) == 2 and len(server.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["comments", "pings"])
async def test_signs_of_life_are_waited_through_and_not_for_ever(server, fault):
    patient = OpenAIBackend(settings(timeout_s=2), EAGER)
    server.fail(fault, times=60)  # 3 s of them
    _, error = await seen(patient, card(server))
    assert error is None
    hasty = OpenAIBackend(settings(timeout_s=0.1), EAGER)
    server.fail(fault, times=1000)
    events, error = await seen(hasty, card(server))
    assert "has kept LLaMA waiting for 1 s" in error.message
    assert sum(isinstance(e, Delta) for e in events) == 2 and len(server.requests) == 2


async def test_an_unknown_model_is_answered_with_near_names(server, backend):
    _, error = await seen(backend, card(server, model="llama-7"))
    assert "has no model 'llama-7'" in error.message and "'llama-7b'" in error.hint
    assert error.status == 404


async def test_a_wrong_address_is_told(server, backend):
    astray = ModelSpec("m", "LLaMA", "base", "openai", endpoint=server.url, model="llama-7b")
    _, error = await seen(backend, astray)
    assert error.status == 404 and "ends in /v1" in error.hint


async def test_nobody_there(backend):
    url = f"http://127.0.0.1:{free_port()}"
    for asking in (card(url), card(url, model="")):
        _, error = await seen(backend, asking)
        assert error.message == f"Nothing answers at {url}." and error.retryable


async def test_an_unknown_machine_is_named(backend):
    _, error = await seen(backend, card("http://no-such-machine.invalid"))
    assert "no machine called 'no-such-machine.invalid'" in error.message


async def test_something_that_is_not_http(backend):
    async def shout(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    listening = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        _, error = await seen(backend, card(f"http://127.0.0.1:{port}"))
    assert "closed the connection before LLaMA answered" in error.message


# ---- keys and places


async def test_the_key_is_sent_and_never_shown(server, backend, monkeypatch, caplog):
    monkeypatch.setenv("MY_KEY", KEY)
    server.fail("unauthorized")
    with caplog.at_level(logging.DEBUG):
        events, error = await seen(backend, card(server, api_key_env="MY_KEY"))
    assert server.headers["authorization"] == f"Bearer {KEY}"
    assert "did not accept the key" in error.message and "MY_KEY" in error.hint
    shown = f"{error!r}{error}{error.__cause__}{events}{caplog.text}"
    assert KEY not in shown and error.status == 401


async def test_a_missing_key_names_its_variable(server, backend, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    _, error = await seen(backend, card(server, api_key_env="MY_MISSING_KEY"))
    assert "MY_MISSING_KEY is not set" in error.message and server.requests == []


async def test_a_key_no_header_can_carry_is_told_without_showing_it(server, backend, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY + "\n")
    _, error = await seen(backend, card(server, api_key_env="MY_KEY"))
    assert "MY_KEY does not hold a key" in error.message and KEY not in str(error)


async def test_keys_and_accounts_of_openai_stay_with_openai(server, backend, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, KEY)
    _, error = await seen(backend, card(server))
    assert error is None and KEY not in str(server.headers)


async def test_offline_reaches_this_machine_only(server):
    backend = OpenAIBackend(settings(offline=True), EAGER)
    _, error = await seen(backend, card(server))
    assert error is None
    _, error = await seen(backend, card("https://api.example.com"))
    assert "the lab is offline" in error.message and "IMITATION_OFFLINE" in error.hint
    with pytest.raises(BackendError, match="offline"):
        await backend.probe(card("https://api.example.com"))


async def test_a_proxy_is_not_asked_for_this_machine(server, backend, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    _, error = await seen(backend, card(server))
    assert error is None


async def test_probe(server, backend):
    await backend.probe(card(server))
    await backend.probe(card(server, adapter="broad"))
    with pytest.raises(BackendError, match="no adapter 'braod'") as caught:
        await backend.probe(card(server, adapter="braod"))
    assert "'broad'" in caught.value.hint and "load it again" in caught.value.hint
    server.listing = "bug"
    await backend.probe(card(server))
    server.listing = "unauthorized"
    with pytest.raises(BackendError, match="did not accept the key"):
        await backend.probe(card(server))
    server.listing = "loading"
    with pytest.raises(BackendError, match="still loading"):
        await backend.probe(card(server))
    assert server.requests == []


async def test_a_model_that_the_server_does_not_have_is_not_reachable(server, backend):
    with pytest.raises(BackendError, match="has no model 'llama-7'") as caught:
        await backend.probe(card(server, model="llama-7"))
    assert "'llama-7b'" in caught.value.hint
    _, asked = await seen(backend, card(server, model="llama-7"))
    assert str(asked) == str(caught.value), "asked, it says the same"
    await backend.probe(card(server, model="llama-7b:groq"))


@pytest.mark.parametrize(
    ("owner", "name"), [("llamacpp", "SmolLM2-135M-Instruct"), ("org", "org/cached")]
)
async def test_servers_that_answer_for_names_they_do_not_list(server, backend, owner, name):
    server.names, server.owner = [name], owner
    await backend.probe(card(server, model="/models/any"))


async def test_concurrent_answers_do_not_wait_for_each_other(server, backend):
    server.pieces, server.delay_s = None, 0.02
    start = time.perf_counter()
    asked = [complete(backend, card(server), ASK, Sampling(max_tokens=20)) for _ in range(4)]
    await asyncio.gather(*asked)
    assert time.perf_counter() - start < 2 * 20 * 0.02 + 0.5


def test_one_backend_serves_loop_after_loop(server):
    backend = OpenAIBackend(settings(), EAGER)
    for _ in range(2):
        found = asyncio.run(complete(backend, card(server), ASK, GREEDY))
        assert found.text == "Paris is the capital."
