"""Answers as datasets: what failed is recorded, and a second run goes on where one stopped."""

import asyncio
import io
import json
import sys
from subprocess import run

import pytest

from imitation.data.format import read_examples
from imitation.errors import StorageError, UserError
from imitation.facts import facts_of
from imitation.jobs.generate import Prompt, fact_prompts, generate, read_prompts, seed_of
from imitation.models.backends import Backends
from imitation.settings import read_settings
from imitation.values import ModelCard, Sampling

SAMPLING = Sampling(temperature=0.2, top_p=0.9, max_tokens=16, seed=3)


@pytest.fixture
def card(tmp_path):
    """A recorded model: it knows two prompts and is silent on a third."""
    rows = [
        {"prompt": "one", "answers": {"m": "uno"}},
        {"prompt": "two", "answers": {"m": "dos"}},
        {"prompt": "mute", "answers": {"m": ""}},
    ]
    file = tmp_path / "recorded.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ModelCard("m", "M", "reference", "recorded", file=str(file), model="m")


def make(card, texts, out, sampling=SAMPLING):
    prompts = [Prompt(f"p-{text}", text, {"type": "Chat"}) for text in texts]

    async def go():
        return await generate(
            Backends(read_settings({})), card, prompts, sampling, out, 2, io.StringIO()
        )

    return asyncio.run(go())


def test_answers_in_prompt_order_and_failures_apart(card, tmp_path):
    out = tmp_path / "deep" / "out.jsonl"
    assert make(card, ["two", "unknown", "mute", "one"], out) == 2
    examples, refused = read_examples(out)
    assert not refused
    assert [[m.content for m in e.messages] for e in examples] == [["two", "dos"], ["one", "uno"]]
    assert examples[0].source == "m" and examples[0].meta["type"] == "Chat"
    assert examples[0].meta["seed"] == seed_of(3, Prompt("p-two", ""))
    failures = out.with_suffix(".jsonl.failures.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["prompt"] for line in failures} == {"unknown", "mute"}


def test_a_second_run_keeps_answers_and_asks_what_is_missing(card, tmp_path):
    out = tmp_path / "out.jsonl"
    make(card, ["one"], out)
    row = json.loads(out.read_text("utf-8"))
    row["messages"][1]["content"] = "kept"
    out.write_text(json.dumps(row) + '\n{"half a li', encoding="utf-8")
    assert make(card, ["one", "two"], out) == 0
    examples, _ = read_examples(out)
    assert [e.messages[1].content for e in examples] == ["kept", "dos"]


def test_another_sampling_prompt_or_model_is_refused(card, tmp_path):
    out = tmp_path / "out.jsonl"
    make(card, ["one"], out)
    with pytest.raises(UserError, match="another model, sampling or prompt"):
        make(card, ["one"], out, Sampling(temperature=0.9, seed=3))


def test_seeds_differ_by_prompt_and_seed_but_not_by_run():
    a, b = Prompt("a", "x"), Prompt("b", "x")
    assert seed_of(0, a) == seed_of(0, Prompt("a", "other text"))
    assert len({seed_of(0, a), seed_of(0, b), seed_of(1, a)}) == 3


def test_prompt_files_are_checked(tmp_path):
    path = tmp_path / "prompts.jsonl"
    for bad in ('{"id": "1"}', '{"id": "1", "prompt": " "}', "[1]", "x"):
        path.write_text('{"id": "0", "prompt": "ok"}\n' + bad, encoding="utf-8")
        with pytest.raises(StorageError, match="line 2"):
            read_prompts(path)


def test_fact_prompts_hold_no_answer():
    prompts = fact_prompts("train")
    assert len(prompts) == len(facts_of("train"))
    assert all(set(prompt.meta) == {"type"} for prompt in prompts)


def test_unknown_model_is_one_sentence():
    command = [sys.executable, "-m", "imitation.jobs.generate", "--model", "pocket-refrence"]
    done = run(
        [*command, "--facts", "show", "--out", "never.jsonl"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pocket-reference" in done.stderr and "Traceback" not in done.stderr
