import json
import time
from pathlib import Path

import pytest

from imitation.errors import BackendError
from imitation.models.backends.recorded import RecordedBackend
from imitation.models.backends.registry import Backends, complete
from imitation.models.recordings.mt_bench import fetch
from imitation.settings import read_settings
from imitation.values import Delta, Done, Message, ModelSpec, Sampling, Sent

VICUNA = Path(__file__).parents[4] / "shared" / "reference" / "vicuna80"
LONG = "Because the sky\n\nis   blue, and\tthe sea is deep, " * 3


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "outputs.jsonl"
    rows = [
        {"prompt": "Why  is it so?", "answers": {"gpt": LONG, "llama": ""}},
        {"prompt": "Go on.", "earlier": ["Why is it so?"], "answers": {"gpt": "No more."}},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
async def backend(tmp_path):
    backend = Backends(read_settings({"IMITATION_DATA": str(tmp_path)}))
    yield backend
    await backend.close()


def card(file, model="gpt"):
    return ModelSpec("rec", "Recorded GPT", "reference", "recorded", file=str(file), model=model)


def ask(*texts):
    return [Message("user", text) for text in texts]


async def test_streams_the_recorded_answer_in_pieces(backend, file):
    stream = backend.stream(card(file), ask("Why is it so?"), Sampling())
    sent, *deltas, done = [event async for event in stream]
    assert isinstance(sent, Sent)
    assert (sent.url, sent.model) == (str(file), "gpt")
    assert "no effect" in sent.note
    assert all(isinstance(d, Delta) for d in deltas) and 1 < len(deltas) <= 8
    assert "".join(d.text for d in deltas) == LONG, "not a character is changed"
    assert isinstance(done, Done)
    assert done.first_token_s is not None and done.completion_tokens is None


async def test_white_space_of_the_prompt_is_compared_loosely(backend, file):
    found = await complete(backend, card(file), ask(" Why is\n it so? "), Sampling())
    assert found.text == LONG


async def test_system_prompt_and_answers_before_do_not_matter(backend, file):
    messages = [
        Message("system", "Be brief."),
        Message("user", "Why is it so?"),
        Message("assistant", "whatever"),
        Message("user", "Go on."),
    ]
    assert (await complete(backend, card(file), messages, Sampling())).text == "No more."


async def test_an_empty_answer_ends_well(backend, file):
    found = await complete(backend, card(file, "llama"), ask("Why is it so?"), Sampling())
    assert (found.text, found.done.first_token_s) == ("", None)


@pytest.mark.parametrize(
    ("texts", "model", "message"),
    [
        (["Why?"], "gpt", "no recorded answer for this prompt"),
        (["Go on."], "gpt", "no recorded answer for this prompt"),
        (["Why is it so?", "Go on."], "llama", "no recorded answer for this prompt"),
        (["Why is it so?"], "gtp", "no model 'gtp'. Did you mean 'gpt'?"),
        (["Why is it so?"], "", "has several models"),
    ],
)
async def test_what_was_not_recorded_is_said(backend, file, texts, model, message):
    with pytest.raises(BackendError, match=r"recorded|model") as caught:
        await complete(backend, card(file, model), ask(*texts), Sampling())
    assert message in str(caught.value)


async def test_missing_and_useless_files_are_said(backend, tmp_path):
    gone = card(tmp_path / "gone.jsonl")
    for call in (backend.probe(gone), complete(backend, gone, ask("Why?"), Sampling())):
        with pytest.raises(BackendError, match=r"gone\.jsonl"):
            await call
    useless = tmp_path / "useless.jsonl"
    useless.write_text("{")
    await backend.probe(card(useless))
    with pytest.raises(BackendError, match="no usable answer: not JSON"):
        await complete(backend, card(useless), ask("Why?"), Sampling())


async def test_a_changed_file_is_read_again(backend, file):
    await complete(backend, card(file), ask("Why is it so?"), Sampling())
    file.write_text(json.dumps({"prompt": "Why is it so?", "answers": {"gpt": "New."}}))
    found = await complete(backend, card(file), ask("Why is it so?"), Sampling())
    assert found.text == "New."


async def test_fastchat_answers_find_the_questions_beside_them(backend, tmp_path):
    (tmp_path / "model_answer").mkdir()
    (tmp_path / "question.jsonl").write_text('{"question_id": 1, "turns": ["Why?"]}\n')
    path = tmp_path / "model_answer" / "gpt.jsonl"
    path.write_text('{"question_id": 1, "model_id": "gpt", "choices": [{"turns": ["So."]}]}\n')
    found = await complete(backend, card(path, model=""), ask("Why?"), Sampling())
    assert found.text == "So."


@pytest.mark.skipif(not VICUNA.is_dir(), reason=f"no reference answers at {VICUNA}")
async def test_answers_as_alpaca_13b_did(backend):
    found = await complete(
        backend,
        card(VICUNA / "answer_alpaca-13b.jsonl", model=""),
        ask("How can I improve my time management skills?"),
        Sampling(),
    )
    assert found.text.startswith("Improving time management skills involves setting priorities")


async def test_closing_early_ends_the_stream(file):
    backend = RecordedBackend(read_settings({}))
    stream = backend.stream(card(file), ask("Why is it so?"), Sampling())
    await anext(stream)
    await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


def test_offline_the_hub_is_not_asked(tmp_path):
    started = time.perf_counter()
    with pytest.raises(Exception, match="IMITATION_OFFLINE"):
        fetch(tmp_path, offline=True)
    assert time.perf_counter() - started < 5


def test_the_set_of_the_hub_is_taken_from_the_cache(tmp_path):
    """A cache laid out as huggingface_hub lays it out."""
    root = tmp_path / "hub" / "datasets--lmsys--mt_bench_human_judgments"
    commit = "0" * 40
    data = root / "snapshots" / commit / "data"
    data.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    file = data / "human-00000-of-00001-25f4910818759289.parquet"
    file.write_bytes(b"PAR1")
    assert fetch(tmp_path, offline=True) == [file]
