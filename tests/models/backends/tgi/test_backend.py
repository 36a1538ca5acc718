import asyncio
import json
import logging
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from imitation.errors import BackendError
from imitation.models.backends.registry import complete
from imitation.models.backends.tgi.backend import TGIBackend
from imitation.models.http.retry import RetryPolicy
from imitation.settings import Settings
from imitation.values import Delta, Done, Message, ModelSpec, Sampling, Sent
from tests.models.fake_tgi import FakeTGI, _templated, violations
from tests.models.fake_tgi_model import encoded
from tests.models.make_tgi_contract import CONTRACT, contract, written
from tests.models.servers import free_port, serving

OPENAPI = Path(__file__).parents[4].parent / "shared" / "tgi" / "openapi.json"
ASK = (Message("user", "What is the capital of France?"),)
GREEDY = Sampling(temperature=0, max_tokens=40)
KEY = "sk-very-secret-123456"
EAGER = RetryPolicy(attempts=3, first_wait_s=0.01, longest_s=2.0)


def settings(timeout_s: float = 5.0, offline: bool = False) -> Settings:
    return Settings(Path("."), Path("."), (), 1, timeout_s=timeout_s, offline=offline)


@pytest.fixture(scope="module")
def running():
    with serving(FakeTGI()) as look_alike:
        yield look_alike


@pytest.fixture
def server(running):
    running.reset()
    yield running
    assert running.violations == []


@pytest.fixture
async def backend():
    found = TGIBackend(settings(), EAGER)
    yield found
    await found.close()


def card(server: FakeTGI | str, prompt_format: str = "koala", **values) -> ModelSpec:
    url = server if isinstance(server, str) else server.url
    values = {"context": 512, **values}
    role = values.pop("role", "imitation" if values.get("adapter") else "base")
    return ModelSpec("m", "LLaMA", role, "tgi", endpoint=url, prompt_format=prompt_format, **values)


async def seen(backend, card, messages=ASK, sampling=GREEDY) -> tuple[list, BackendError | None]:
    """Events until the end, and the error that was the end."""
    found = []
    try:
        async for event in backend.stream(card, messages, sampling):
            found.append(event)
    except BackendError as error:
        return found, error
    return found, None


# ---- answers


async def test_koala_prompts_stream_from_generate(server, backend):
    events, error = await seen(backend, card(server))
    assert error is None
    sent, *deltas, done = events
    assert [d.text for d in deltas] == [" Paris", " is", " the", " capital", "."]
    prompt = f"BEGINNING OF CONVERSATION: USER: {ASK[0].content} GPT:"
    assert sent.prompt == prompt == server.body["inputs"]
    assert sent.url == server.url + "/generate_stream"
    assert sent.stop == ("</s>", "USER:") == tuple(server.body["parameters"]["stop"])
    assert done.finish_reason == "stop"
    # The server's own count: LLaMA's tokenizer begins with a token that is no text.
    assert (done.prompt_tokens, done.completion_tokens) == (1 + len(prompt.split()), 6)
    assert not done.tokens_are_approximate
    assert 0 < done.first_token_s <= done.total_s
    assert 1 <= done.arrivals <= 6 and done.max_tokens == GREEDY.max_tokens


async def test_plain_prompts_go_as_they_are_and_the_end_token_is_no_text(server, backend):
    found = await complete(backend, card(server, "plain"), ASK, GREEDY)
    assert server.body["inputs"] == found.sent.prompt == ASK[0].content + "\n\n"
    assert found.sent.stop == () and "stop" not in server.body["parameters"]
    assert found.text == " Paris is the capital." and found.done.finish_reason == "stop"


async def test_chat_streams_with_the_servers_own_rendering(server, backend):
    events, error = await seen(backend, card(server, "chat"))
    assert error is None
    sent, *deltas, done = events
    assert "".join(d.text for d in deltas) == " Paris is the capital."
    assert server.body["messages"] == [{"role": "user", "content": ASK[0].content}]
    assert server.body["model"] == "tgi"
    assert sent.prompt.endswith("<|im_start|>assistant\n")
    assert done.completion_tokens == 6 and not done.tokens_are_approximate


@pytest.mark.parametrize("prompt_format", ["koala", "plain", "chat"])
async def test_an_adapter_is_picked_by_the_request(server, backend, prompt_format):
    events, error = await seen(backend, card(server, prompt_format, adapter="broad"))
    assert error is None and events[0].adapter == "broad"
    picked = server.body["model"] if prompt_format == "chat" else None
    assert (picked or server.body["parameters"]["adapter_id"]) == "broad"


async def test_a_card_naming_the_model_does_not_ask_for_an_adapter(server, backend):
    _, error = await seen(backend, card(server, "chat", model="huggyllama/llama-7b"))
    assert error is None and server.body["model"] == "tgi"


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0, top_p=0.9, seed=3),
        Sampling(temperature=0.7, top_p=1.0, seed=0),
        Sampling(temperature=2.0, top_p=0.5, seed=7),
    ],
)
async def test_every_sampling_is_within_the_contract(server, backend, prompt_format, sampling):
    events, error = await seen(backend, card(server, prompt_format), sampling=sampling)
    assert error is None
    wire = server.body if prompt_format == "chat" else server.body["parameters"]
    assert events[0].parameters.items() <= wire.items()
    # top_p alone makes TGI sample, whatever the temperature.
    assert ("top_p" in wire) == (sampling.temperature > 0 and sampling.top_p < 1)
    if sampling.temperature == 0:
        assert not wire.get("temperature") and not wire.get("do_sample")
    else:
        assert wire["seed"] == max(1, sampling.seed)


async def test_a_stop_string_is_not_part_of_the_answer(server, backend):
    server.tokens = [" One", ".\n", "US", "ER", ":", " more"]
    found = await complete(backend, card(server), ASK, GREEDY)
    assert found.text == " One.\n"
    assert found.done.finish_reason == "stop"
    assert found.done.completion_tokens == 5 and not found.done.tokens_are_approximate


async def test_more_stop_strings_than_tgi_takes_still_end_the_answer(server, backend):
    server.tokens = None
    server.delay_s = 0.01
    sampling = Sampling(temperature=0, max_tokens=400, stop=("a", "b", "c", " 7"))
    found = await complete(backend, card(server), ASK, sampling)
    assert found.text == " 0 1 2 3 4 5 6"
    assert len(server.body["parameters"]["stop"]) == 4
    assert await server.settled() < 50


async def test_the_length_limit_is_said(server, backend):
    found = await complete(backend, card(server), ASK, Sampling(max_tokens=3))
    assert (found.text, found.done.finish_reason) == (" Paris is the", "length")


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_line_separators_in_an_answer_do_not_end_its_event(server, backend, prompt_format):
    server.tokens = [" a\u2028b", "\x85", "\x0b", "c\r\n", "d\n\n", "é", "👩\u200d🚀"]
    found = await complete(backend, card(server, prompt_format), ASK, GREEDY)
    assert found.text == "".join(server.tokens)


async def test_an_empty_answer_is_an_answer(server, backend):
    server.tokens = []
    found = await complete(backend, card(server), ASK, GREEDY)
    assert found.text == "" and found.done.first_token_s is None


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
@pytest.mark.parametrize(
    "text", ["", "\x00", "مرحبا", "👩‍🚀\u2028", "<script>", "\ud800 half", "data: [DONE]\n\n"]
)
async def test_odd_prompts_arrive_as_they_are(server, backend, prompt_format, text):
    events, error = await seen(backend, card(server, prompt_format), (Message("user", text),))
    assert error is None
    wanted = text.replace("\ud800", "\ufffd")
    assert events[0].messages[0].content == wanted
    if prompt_format == "chat":
        assert server.body["messages"][0]["content"] == wanted


# ---- the context


async def test_old_turns_are_dropped_by_the_servers_own_count(server, backend):
    turns = []
    for number in range(12):
        turns += [Message("user", f"word {number} " * 20), Message("assistant", "yes " * 20)]
    asked = (Message("system", "Be brief."), *turns, Message("user", "last"))
    events, error = await seen(backend, card(server, "chat"), asked, Sampling(max_tokens=100))
    assert error is None
    sent = events[0]
    assert sent.dropped and sent.messages[0] == asked[0] and sent.messages[-1] == asked[-1]
    assert sent.dropped == asked[1 : 1 + len(sent.dropped)]
    assert sent.messages[1].role == "user" and sent.note == ""
    # One turn more, as long as any, would not have fitted.
    size = len(encoded(sent.prompt, special=False))
    one = encoded(_templated([{"role": m.role, "content": m.content} for m in turns[:2]]))
    assert size <= 412 < size + len(one)


async def test_a_prompt_too_long_alone_is_refused_with_its_count(server, backend):
    _, error = await seen(backend, card(server), (Message("user", "word " * 500),), GREEDY)
    assert "takes 507 tokens" in error.message and "room for 472" in error.message
    assert server.requests == []


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_a_conversation_is_fitted_to_what_the_server_takes(server, backend, prompt_format):
    server.model.max_total, server.max_input = 300, 100
    big = card(server, prompt_format, context=100_000)
    turns = [Message(("user", "assistant")[n % 2], f"word {n} " * 10) for n in range(13)]
    events, error = await seen(backend, big, turns)
    assert error is None and events[0].dropped
    assert events[-1].prompt_tokens <= 100
    _, error = await seen(backend, big, (Message("user", "word " * 150),))
    assert "room for 100 (the longest prompt its server takes)" in error.message
    server.max_input = 299
    _, error = await seen(backend, big, (Message("user", "word " * 290),))
    assert "room for 260 (300 less 40 for the answer)" in error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_the_servers_own_limit_is_recognised(server, backend, prompt_format):
    server.info_shown = False
    big = card(server, prompt_format, context=100_000)
    _, error = await seen(backend, big, (Message("user", "word " * 600),))
    assert error.message.startswith("The conversation is too long for LLaMA.")
    assert "512" in error.message and error.status == 422
    assert len(server.requests) == 1


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_an_answer_of_several_stretches_is_as_long_as_asked(server, backend, prompt_format):
    # TGI makes 1,024 tokens at a time, and stops between stretches only.
    server.tokens, server.model.stretch = None, 100
    asked = Sampling(temperature=0, max_tokens=130)
    found = await complete(backend, card(server, prompt_format), ASK, asked)
    assert found.text.split() == [str(n) for n in range(130)]
    assert (found.done.finish_reason, found.done.completion_tokens) == ("length", 130)
    assert not found.done.tokens_are_approximate


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_an_answer_that_tgi_ends_between_stretches_says_what_was_asked(
    server, backend, prompt_format
):
    # The next stretch would not fit; it looks at the first one only before it begins.
    server.tokens, server.model.stretch, server.info_shown = None, 300, False
    big = card(server, prompt_format, context=10_000)
    found = await complete(backend, big, ASK, Sampling(temperature=0, max_tokens=700))
    assert (found.done.finish_reason, found.done.completion_tokens) == ("length", 300)
    assert found.done.max_tokens == 700


async def test_empty_inputs_are_refused_by_tgi():
    server = FakeTGI()
    assert server.invalid("", 1, {"max_new_tokens": 5}) == "`inputs` cannot be empty"


# ---- stopping


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_stopping_stops_the_server(server, backend, prompt_format, how):
    server.tokens, server.delay_s = None, 0.01
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


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
@pytest.mark.parametrize("fault", ["overloaded", "unhealthy", "proxy busy"])
async def test_a_busy_server_is_asked_again(server, backend, prompt_format, fault):
    server.fail(fault, fault)
    events, error = await seen(backend, card(server, prompt_format))
    assert error is None and isinstance(events[-1], Done)
    assert len(server.requests) == 3
    assert sum(isinstance(e, Sent) for e in events) == 1


async def test_a_busy_server_is_not_asked_for_ever(server, backend):
    server.fail(*["overloaded"] * 9)
    _, error = await seen(backend, card(server))
    assert "too many requests (429)" in error.message and "Model is overloaded" in error.message
    assert error.retryable and len(server.requests) == 3


async def test_retry_after_is_honoured(server, backend):
    server.fail("proxy busy", retry_after=1)
    start = time.perf_counter()
    _, error = await seen(backend, card(server))
    assert error is None and time.perf_counter() - start >= 1.0


async def test_a_retry_after_beyond_our_patience_is_told_not_waited_for(server, backend):
    server.fail("proxy busy", retry_after=60)
    start = time.perf_counter()
    _, error = await seen(backend, card(server))
    assert "asks to wait 60 s" in error.message and time.perf_counter() - start < 2
    assert len(server.requests) == 1


FAULTS = {
    "generation": "LLaMA failed at {at} (424). It says: Request failed during generation: Server",
    "interrupted": "broke off: the server said 'Incomplete generation stream'",
    "malformed": "not an event",
    "not an event": "not an event",
    "drop": "broke off",
    "refusal in chunks": "no length here",
}


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
@pytest.mark.parametrize(("fault", "words"), FAULTS.items())
async def test_faults_are_told_in_words_and_not_retried(
    server, backend, prompt_format, fault, words
):
    server.fail(fault)
    events, error = await seen(backend, card(server, prompt_format))
    assert words.format(at=server.url) in error.message
    assert len(server.requests) == 1
    texts = [e.text for e in events if isinstance(e, Delta)]
    assert texts == ([] if fault == "refusal in chunks" else [" Paris", " is"])


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_a_request_tgi_finds_invalid_is_not_asked_again(server, backend, prompt_format):
    # It says so inside a 200; in chat with the status it gives every error.
    wrong = card(server, prompt_format)
    _, error = await seen(backend, wrong, sampling=Sampling(temperature=0, max_tokens=0))
    assert error.status == 422 and not error.retryable and len(server.requests) == 1
    assert "`max_new_tokens` must be strictly positive" in error.message


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_a_stop_string_inside_a_tokens_text_ends_the_answer(server, backend, prompt_format):
    # TGI looks at the end of the text only, so that it goes on past this one.
    server.tokens = [" One", " STOP it", " two", " three", " four", " five"]
    sampling = Sampling(temperature=0, max_tokens=40, stop=("STOP",))
    found = await complete(backend, card(server, prompt_format), ASK, sampling)
    assert (found.text, found.done.finish_reason) == (" One ", "stop")


@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_a_silent_server_is_given_up(server, prompt_format):
    backend = TGIBackend(settings(timeout_s=0.4), EAGER)
    server.fail("hang")
    events, error = await seen(backend, card(server, prompt_format))
    assert "silent for 0.4 s" in error.message
    assert sum(isinstance(e, Delta) for e in events) == 2 and len(server.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("prompt_format", ["koala", "chat"])
async def test_a_queued_request_is_waited_for(server, prompt_format):
    # Comments for over 2 s, and no token until then: twice as long as silence is borne.
    backend = TGIBackend(settings(timeout_s=1.0), EAGER)
    server.comment_s = 0.1
    server.fail("queued", comments=22)
    events, error = await seen(backend, card(server, prompt_format))
    assert error is None and "".join(e.text for e in events if isinstance(e, Delta))
    assert len(server.requests) == 1


async def test_signs_of_life_do_not_go_on_for_ever(server, monkeypatch):
    monkeypatch.setattr("imitation.models.backends.tgi.backend.MAX_SILENCES", 2)
    backend = TGIBackend(settings(timeout_s=1.0), EAGER)
    server.fail("queued", comments=200)
    _, error = await seen(backend, card(server))
    assert "has kept LLaMA waiting for 2 s: it is alive, and sends no token" in error.message


async def test_nobody_there(backend):
    url = f"http://127.0.0.1:{free_port()}"
    _, error = await seen(backend, card(url))
    assert error.message == f"Nothing answers at {url}." and error.retryable
    with pytest.raises(BackendError, match="Nothing answers"):
        await backend.probe(card(url))


async def test_a_server_that_comes_up_late_is_reached(backend):
    server = FakeTGI()
    patient = TGIBackend(settings(), RetryPolicy(attempts=6, first_wait_s=0.2, longest_s=10))
    url = f"http://127.0.0.1:{free_port()}"
    task = asyncio.create_task(seen(patient, card(url)))
    await asyncio.sleep(0.1)
    assert not task.done()
    with serving(server, int(url.rpartition(":")[2])):
        _, error = await task
    assert error is None


async def test_an_unknown_machine_is_named(backend):
    _, error = await seen(backend, card("http://no-such-machine.invalid:8080"))
    assert "no machine called 'no-such-machine.invalid:8080'" in error.message


# ---- keys and places


async def test_the_key_is_sent_and_never_shown(server, backend, monkeypatch, caplog):
    monkeypatch.setenv("MY_TGI_KEY", KEY)
    server.key = KEY
    _, error = await seen(backend, card(server, api_key_env="MY_TGI_KEY"))
    assert error is None and server.headers["authorization"] == f"Bearer {KEY}"
    server.key = "another"
    with caplog.at_level(logging.DEBUG):
        events, error = await seen(backend, card(server, api_key_env="MY_TGI_KEY"))
    assert "did not accept the key" in error.message and "MY_TGI_KEY" in error.hint
    assert error.status == 401
    shown = f"{error!r}{error}{error.__cause__}{events}{caplog.text}"
    assert KEY not in shown


async def test_a_missing_key_names_its_variable(server, backend, monkeypatch):
    monkeypatch.delenv("MY_TGI_KEY", raising=False)
    _, error = await seen(backend, card(server, api_key_env="MY_TGI_KEY"))
    assert "MY_TGI_KEY is not set" in error.message
    assert server.requests == []


async def test_the_hub_token_of_this_machine_stays_here(server, backend, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    await seen(backend, card(server))
    await seen(backend, card(server, "chat"))
    assert "hf_x" not in json.dumps([h for _, h, _ in server.requests])


async def test_the_hubs_offline_switch_is_not_ours(server, backend, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    _, error = await seen(backend, card(server))
    assert error is None


async def test_offline_reaches_this_machine_only(server):
    backend = TGIBackend(settings(offline=True), EAGER)
    _, error = await seen(backend, card(server))
    assert error is None
    _, error = await seen(backend, card("http://tgi.example.com:8080"))
    assert "the lab is offline" in error.message and "IMITATION_OFFLINE" in error.hint


async def test_a_proxy_is_not_asked_for_this_machine(server, backend, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    _, error = await seen(backend, card(server))
    assert error is None


async def test_probe(server, backend):
    await backend.probe(card(server))
    server.key = "wanted"
    # /health and /info want none.
    with pytest.raises(BackendError, match="did not accept the key"):
        await backend.probe(card(server))
    server.key = ""
    server.healthy = False
    with pytest.raises(BackendError, match="overloaded or still loading"):
        await backend.probe(card(server))
    assert server.requests == []


@pytest.mark.slow
async def test_concurrent_answers_do_not_wait_for_each_other(server, backend):
    server.model.adapters, server.model.zeros = {"zero": 16, "broad": 16, "local": 16}, {"zero"}
    cards = [
        card(server, "koala", adapter="zero", role="base"),
        card(server, "koala", adapter="broad"),
        card(server, "chat", adapter="local"),
    ]
    for one in cards * 2:  # checked, each beside the others
        await backend.probe(one)
    server.tokens, server.delay_s = None, 0.02
    asked = [complete(backend, one, ASK, Sampling(max_tokens=20)) for one in cards]
    server.model.most = 0
    answers = await asyncio.gather(*asked)
    assert server.model.most == 3
    assert {a.text for a in answers} == {"".join(f" {n}" for n in range(20))}


def test_one_backend_serves_loop_after_loop(server):
    backend = TGIBackend(settings(), EAGER)
    for _ in range(2):
        found = asyncio.run(complete(backend, card(server, "chat"), ASK, GREEDY))
        assert found.text == " Paris is the capital."


# ---- the contract


@pytest.mark.skipif(not OPENAPI.is_file(), reason=f"TGI's openapi.json is not at {OPENAPI}")
def test_the_contract_is_tgis_own():
    made = contract(json.loads(OPENAPI.read_text(encoding="utf-8")))
    assert CONTRACT.read_text(encoding="utf-8") == written(made)


@pytest.mark.parametrize(
    "parameters",
    [{"temperature": 0}, {"seed": 0}, {"stop": ["a"] * 5}, {"top_p": 1.5}, {"stop": 1}],
)
def test_the_contract_refuses_what_tgi_refuses(parameters):
    body = {"inputs": "x", "parameters": parameters}
    assert violations("/generate_stream", "request", body)


def test_the_contract_wants_whole_replies():
    assert violations("/generate_stream", "200 text/event-stream", {"token": {}})


def test_the_contract_is_corrected_where_the_router_does_otherwise():
    chat, wrong = "/v1/chat/completions", {"error": {"message": "x", "http_status_code": 422}}
    assert not violations(chat, "200 text/event-stream", wrong)
    assert violations("/generate_stream", "200 text/event-stream", wrong)
    row = {"id": "m", "object": "model", "created": 0, "owned_by": "m"}
    assert violations("/v1/models", "200 application/json", row)
