"""The OpenAI client against servers that are what they are: llama.cpp and `transformers serve`."""

import asyncio
import dataclasses
import os
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path

import httpx2
import psutil
import pytest

from imitation.errors import BackendError
from imitation.models.backends.openai_compatible import OpenAIBackend
from imitation.models.backends.registry import complete
from imitation.models.embedded.process import EngineProcess, EngineSpec
from imitation.models.embedded.weights import weights_path
from imitation.settings import Settings
from imitation.values import Delta, Message, ModelSpec, Sampling, Sent
from tests.models.servers import free_port

pytestmark = pytest.mark.slow
ASK = (Message("user", "What is the capital of France?"),)
SETTINGS = Settings(Path("."), Path("."), (), 1, timeout_s=60)


@pytest.fixture
async def backend():
    found = OpenAIBackend(SETTINGS)
    yield found
    await found.close()


async def read(backend, card, sampling, enough: int, hooks=None) -> int:
    """Read until `enough` deltas have come, then close; how many came."""
    count = 0
    async with aclosing(backend.stream(card, ASK, sampling, hooks=hooks)) as events:
        async for event in events:
            count += isinstance(event, Delta)
            if count == enough:
                break
    return count


# ---- llama.cpp


@pytest.fixture(scope="module")
def llama(tmp_path_factory, pocket_settings):
    weights = weights_path(pocket_settings, "whole")
    log = tmp_path_factory.mktemp("llama") / "engine.log"
    engine = EngineProcess(EngineSpec(weights, context=512), 1, log, 60)
    card = ModelSpec(
        "pocket", "Pocket", "reference", "openai", endpoint=engine.url + "/v1", context=512
    )
    yield card
    engine.end()


def decoded(card: ModelSpec) -> int:
    """Tokens llama.cpp has made since it started."""
    text = httpx2.get(card.endpoint.removesuffix("/v1") + "/metrics", trust_env=False).text
    lines = dict(line.split(" ") for line in text.splitlines() if not line.startswith("#"))
    return int(float(lines["llamacpp:tokens_predicted_total"]))


def busy(card: ModelSpec) -> int:
    """Slots of llama.cpp that are at work."""
    slots = httpx2.get(card.endpoint.removesuffix("/v1") + "/slots", trust_env=False).json()
    return sum(slot["is_processing"] for slot in slots)


async def test_llama_answers_in_chat(llama, backend):
    found = await complete(backend, llama, ASK, Sampling(temperature=0, max_tokens=30))
    assert len(found.text.split()) > 3
    assert found.done.finish_reason in ("stop", "length")
    assert 0 < found.done.completion_tokens <= 30 and not found.done.tokens_are_approximate
    assert found.done.tokens_per_s > 1


async def test_llamas_hooks_agree_with_its_own_count(llama, backend):
    hooks = backend.llama_hooks(llama)
    talk = (Message("system", "Be brief."), *ASK, Message("assistant", "Paris."), *ASK)
    sent = done = None
    async for event in backend.stream(llama, talk, Sampling(max_tokens=5), hooks=hooks):
        sent, done = (event, done) if isinstance(event, Sent) else (sent, event)
    assert sent.prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")
    assert sent.prompt.endswith("<|im_start|>assistant\n")
    assert await hooks.count(sent.prompt) == done.prompt_tokens


async def test_llama_continues_plain_prompts_up_to_a_stop_string(llama, backend):
    base = dataclasses.replace(llama, prompt_format="koala")
    sampling = Sampling(temperature=0, max_tokens=200, stop=(".",))
    found = await complete(backend, base, ASK, sampling)
    assert found.sent.prompt == f"BEGINNING OF CONVERSATION: USER: {ASK[0].content} GPT:"
    assert found.text and "." not in found.text and found.done.finish_reason == "stop"


async def test_llama_same_seed_same_answer(llama, backend):
    sampling = Sampling(temperature=1.0, max_tokens=24, seed=7)
    first, again = [await complete(backend, llama, ASK, sampling) for _ in range(2)]
    other = await complete(backend, llama, ASK, dataclasses.replace(sampling, seed=8))
    assert first.text == again.text != other.text


async def test_closing_stops_llama(llama, backend):
    wanted = Sampling(temperature=1.5, max_tokens=450, stop=("no such words",))
    before = decoded(llama)
    assert await read(backend, llama, wanted, 5) == 5
    async with asyncio.timeout(10):
        while busy(llama):
            await asyncio.sleep(0.05)
    assert decoded(llama) - before < 100


async def test_llama_drops_old_turns_by_exact_count(llama, backend):
    talk = [
        Message("user" if n % 2 == 0 else "assistant", f"{n}: " + "one two three " * 20)
        for n in range(15)
    ]
    hooks = backend.llama_hooks(llama)
    events = []
    async for event in backend.stream(llama, talk, Sampling(max_tokens=8), hooks=hooks):
        events.append(event)
    sent, done = events[0], events[-1]
    assert sent.dropped and sent.messages[0].role == "user"
    assert done.prompt_tokens <= 512 - 8
    # The turn dropped last would not have fitted.
    fuller = await hooks.render((*sent.dropped[-2:], *sent.messages))
    assert await hooks.count(fuller) > 512 - 8


async def test_llama_says_when_its_context_is_too_small(llama, backend):
    boastful = dataclasses.replace(llama, context=100_000)
    long = (Message("user", "one two three " * 400),)
    with pytest.raises(BackendError, match="conversation is too long for Pocket") as caught:
        await complete(backend, boastful, long, Sampling(max_tokens=16))
    assert caught.value.status == 400


async def test_llama_answers_several_at_once(llama, backend):
    sampling = Sampling(temperature=0, max_tokens=16, stop=("no such words",))
    arrivals: list[list[float]] = [[], [], []]

    async def one(times: list[float]) -> None:
        async for event in backend.stream(llama, ASK, sampling):
            if isinstance(event, Delta):
                times.append(time.monotonic())

    await asyncio.gather(*map(one, arrivals))
    # Each had begun before any had ended.
    assert max(times[0] for times in arrivals) < min(times[-1] for times in arrivals)


async def test_llama_takes_a_prompt_of_odd_text(llama, backend):
    odd = (Message("user", "\x00 <script>alert(1)</script> مرحبا 👩‍🚀 \ud800 <|im_end|>"),)
    found = await complete(backend, llama, odd, Sampling(max_tokens=8))
    assert found.done.completion_tokens


# ---- transformers serve


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> Path:
    """A Llama of random weights with a byte-level tokenizer: talks nonsense, in the right way."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("tiny")
    raw = tokenizers.Tokenizer(tokenizers.models.BPE())
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(["the capital of France is Paris"] * 50, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=8192,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = transformers.LlamaForCausalLM(config)
    # Never its own end: what ends an answer is the limit, or the client.
    model.generation_config.suppress_tokens = [0, 1]
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def serve(tiny_model, tmp_path_factory):
    """A card of the served model, and the server's process."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env)
    card = ModelSpec(
        "tiny",
        "Tiny",
        "base",
        "openai",
        endpoint=f"http://127.0.0.1:{port}/v1",
        model=str(tiny_model),
        context=8192,
    )
    try:
        deadline = time.monotonic() + 240
        while True:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            try:
                httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=5)
                break
            except httpx2.HTTPError:
                time.sleep(0.5)
        yield card, psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


async def test_transformers_serve_streams_chat(serve, backend):
    card, _ = serve
    found = await complete(backend, card, ASK, Sampling(temperature=0, max_tokens=32))
    assert found.text and found.done.finish_reason == "length"
    assert found.done.completion_tokens == 32 and not found.done.tokens_are_approximate
    assert found.done.prompt_tokens > 10


async def test_transformers_serve_streams_plain_completions(serve, backend):
    card, _ = serve
    base = dataclasses.replace(card, prompt_format="koala")
    found = await complete(backend, base, ASK, Sampling(temperature=0, max_tokens=16))
    assert found.sent.url.endswith("/v1/completions")
    assert found.text and found.done.finish_reason == "length"


async def test_closing_stops_transformers_serve(serve, backend):
    card, process = serve
    assert await read(backend, card, Sampling(temperature=1, max_tokens=6000), 8) == 8

    def used() -> float:
        times = process.cpu_times()
        return times.user + times.system

    # It counts no tokens for others to see, so: does it still compute?
    async with asyncio.timeout(30):
        while True:
            before = used()
            await asyncio.sleep(1.0)
            if used() - before < 0.1:
                break
    found = await complete(backend, card, ASK, Sampling(temperature=0, max_tokens=4))
    assert found.done.completion_tokens == 4


async def test_transformers_serve_is_probed(serve, backend):
    await backend.probe(serve[0])


async def test_transformers_serve_refuses_an_unknown_model_in_words(serve, backend):
    unknown = dataclasses.replace(serve[0], model="no/such-model")
    with pytest.raises(BackendError, match="Tiny") as caught:
        await complete(backend, unknown, ASK, Sampling(max_tokens=4))
    assert caught.value.status >= 400
