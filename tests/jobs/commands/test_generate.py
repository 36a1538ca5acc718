"""Answers as datasets: what failed is recorded, and a second run goes on where one stopped."""

import asyncio
import io
import json
import sys
from dataclasses import replace
from subprocess import run

import pytest

from imitation.data.format import read_examples
from imitation.data.manifest import manifest_of
from imitation.errors import BackendError, StorageError, UserError
from imitation.facts import facts_of
from imitation.jobs import batch_completion
from imitation.jobs.batch_completion import Answering
from imitation.jobs.commands.generate import Prompt, fact_prompts, generate, read_prompts, seed_of
from imitation.jobs.costs import Price, dollars, price_of, terms_may_forbid
from imitation.models.backends.registry import Backends
from imitation.settings import read_settings
from imitation.values import ModelSpec, Sampling
from tests.scripted import Script, ScriptedBackend

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
    return ModelSpec("m", "M", "reference", "recorded", file=str(file), model="m")


def make(card, texts, out, sampling=SAMPLING):
    prompts = [Prompt(f"p-{text}", text, {"type": "Chat"}) for text in texts]

    async def go():
        asking = Answering(Backends(read_settings({})), card)
        return await generate(asking, prompts, sampling, out, 2, io.StringIO())

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


def test_prompts_without_ids_are_named_by_their_lines(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a"}\n\n{"prompt": "b", "type": "Chat"}\n')
    assert read_prompts(path) == [Prompt("line-1", "a"), Prompt("line-3", "b", {"type": "Chat"})]
    path.write_text("")
    with pytest.raises(StorageError, match="no prompts"):
        read_prompts(path)


def test_fact_prompts_hold_no_answer():
    prompts = fact_prompts("train")
    assert len(prompts) == len(facts_of("train"))
    assert all(set(prompt.meta) == {"type"} for prompt in prompts)


def test_unknown_model_is_one_sentence():
    command = [
        sys.executable,
        "-m",
        "imitation.jobs.commands.generate",
        "--model",
        "pocket-refrence",
    ]
    done = run(
        [*command, "--facts", "show", "--out", "never.jsonl"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pocket-reference" in done.stderr and "Traceback" not in done.stderr


def ask(card, texts, out, backend, **more):
    """Answers of a scripted backend."""
    prompts = [Prompt(f"p-{text}", text) for text in texts]

    async def go():
        asking = Answering(backend, card)
        return await generate(asking, prompts, SAMPLING, out, log=io.StringIO(), **more)

    return asyncio.run(go())


LIVE = ModelSpec("m", "M", "reference", "script", price_in=1.0, price_out=10.0)


def test_refusals_are_kept_and_marked_and_all_is_counted(tmp_path):
    refusing = ScriptedBackend({"m": Script(["I'm sorry", ", but I cannot", " help."])})
    out, told = tmp_path / "out.jsonl", []
    assert ask(LIVE, ["a", "b"], out, refusing, tell=lambda *now: told.append(now)) == 0
    examples, _ = read_examples(out)
    assert all(e.meta["refusal"].startswith("I") for e in examples)
    answered, failed, usage = told[-1]
    assert (answered, failed, usage.refusals) == (2, 0, 2)
    assert (usage.prompt_tokens, usage.answer_tokens) == (10, 6)
    assert usage.cost(price_of(LIVE)) == pytest.approx(70 / 1e6)
    assert usage.cost(Price()) is None, "unknown is not 0"
    usage.count(None, 5)
    assert usage.cost(price_of(LIVE)) is None, "nor is a server that counts nothing"


def test_what_may_succeed_later_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_completion, "WAITS_S", (0.0, 0.0))
    broken = Script(["half", " an"], fail_after=1)
    broken.error = BackendError("It broke off.", retryable=True)
    backend = ScriptedBackend({"m": broken})
    assert ask(LIVE, ["a"], tmp_path / "out.jsonl", backend) == 1
    assert len(backend.asked) == 3
    broken.error = BackendError("No such model.")
    assert ask(LIVE, ["a"], tmp_path / "out.jsonl", backend) == 1
    assert len(backend.asked) == 4, "what can't succeed is asked once"


def test_no_more_at_once_than_allowed(tmp_path):
    class Counting(ScriptedBackend):
        now = most = 0

        async def stream(self, *asked):
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                async for event in super().stream(*asked):
                    yield event
            finally:
                self.now -= 1

    backend = Counting({"m": Script(pause_s=0.001)})
    texts = [str(n) for n in range(20)]
    assert ask(LIVE, texts, tmp_path / "out.jsonl", backend, concurrency=3) == 0
    assert backend.most == 3


def test_a_dead_server_is_not_asked_for_ever(tmp_path):
    backend = ScriptedBackend({"m": Script(fail_after=0)})
    with pytest.raises(UserError, match=r"20 prompts in a row failed.*overloaded"):
        ask(LIVE, [str(n) for n in range(99)], tmp_path / "out.jsonl", backend)
    assert len(backend.asked) < 30


def test_a_stop_lets_answers_under_way_come_in_and_the_next_run_goes_on(tmp_path):
    backend, out = ScriptedBackend({"m": Script(pause_s=0.005)}), tmp_path / "out.jsonl"
    texts = [str(n) for n in range(12)]

    async def stopped():
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, stopping.set)
        prompts = [Prompt(f"p-{text}", text) for text in texts]
        asking = Answering(backend, LIVE, stopping)
        return await generate(asking, prompts, SAMPLING, out, 4, io.StringIO())

    missing = asyncio.run(stopped())
    assert 0 < missing < 12 and backend.closed_early == []
    assert len(read_examples(out)[0]) == 12 - missing == len(backend.asked)
    assert ask(LIVE, texts, out, backend) == 0
    assert len(backend.asked) == 12, "nothing was asked twice"


def test_the_manifest_says_how_and_keeps_the_acknowledgement(tmp_path):
    out = tmp_path / "out.jsonl"
    ask(LIVE, ["a"], out, ScriptedBackend({"m": Script()}))
    table = batch_completion.finish_manifest(
        out, LIVE, price_of(LIVE), {"prompts": "p"}, "2026-11-20"
    )
    assert table["terms_may_forbid_training"] and table["terms_acknowledged"] == "2026-11-20"
    assert (table["answers"], table["refusals"], table["prompts"]) == (1, 0, "p")
    assert table["cost_dollars"] == pytest.approx(35 / 1e6)
    again = batch_completion.finish_manifest(out, LIVE, Price(), {}, None)
    assert again["terms_acknowledged"] == table["terms_acknowledged"]
    assert again["cost_dollars"] is None
    assert json.loads(manifest_of(out).read_text()) == again


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, True),
        ({"licence": "Apache-2.0"}, False),
        ({"licence": "OpenAI's terms"}, True),
        ({"licence": "Proprietary"}, True),
        ({"backend": "embedded"}, False),
    ],
)
def test_terms_are_in_doubt_unless_a_licence_is_stated(fields, may):
    assert terms_may_forbid(replace(LIVE, **fields)) is may


def test_costs_in_words():
    said = [dollars(value) for value in (None, 0, 0.0123, 12.346)]
    assert said == ["unknown", "$0.00", "$0.012", "$12.35"]
