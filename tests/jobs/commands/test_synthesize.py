"""The command: real answers by the embedded engine, and nothing asked twice."""

import json

import pytest

from imitation.data.format import read_examples
from imitation.data.manifest import manifest_of
from imitation.jobs import model_cli
from imitation.jobs.commands import synthesize
from imitation.settings import Settings


def command(out, *more):
    options = ["--model", "pocket-reference", "--facts", "train", "--out", str(out)]
    return synthesize.main([*options, "--max-tokens", "60", *map(str, more)])


@pytest.fixture
def rounds(tmp_path, monkeypatch):
    """A run that a first command has left: two answers, none of which needs a model again."""
    monkeypatch.setenv("IMITATION_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(model_cli, "Backends", Nobody)
    out = tmp_path / "pairs.jsonl"
    assert command(out, "--count", 1) == 1, "nobody answers"
    path = tmp_path / "pairs.jsonl.rounds.jsonl"
    text = "Question: Who? {}\nAnswer: Me.\nAnswer: alone"
    with path.open("a") as opened:
        for number in range(2):
            row = {"round": number, "text": text.format(number), "finish_reason": "stop"}
            opened.write(json.dumps({**row, "prompt_tokens": 100, "tokens": 10}) + "\n")
        opened.write('{"round": 2, "te')  # killed while writing
    return out


class Nobody:
    """Backends that would fail whatever they are asked."""

    def __init__(self, settings: Settings) -> None:
        self.asked = 0

    def stream(self, *_: object):
        from imitation.errors import BackendError

        raise BackendError("Nobody is there.")

    async def close(self) -> None:
        return None


def test_what_was_answered_is_not_asked_again(rounds, tmp_path):
    log = tmp_path / "log"
    prices = ("--price-in", "1", "--price-out", "10", "--progress", log)
    assert command(rounds, "--count", 2, "--concurrency", 2, *prices) == 0
    examples, _ = read_examples(rounds)
    assert [e.messages[0].content for e in examples] == ["Who? 0", "Who? 1"]
    assert [e.meta["round"] for e in examples] == [0, 1]
    table = json.loads(manifest_of(rounds).read_text())
    assert table["synthesized"]["malformed"] == 2 and table["cost_dollars"] == 0.0004
    assert len(table["seeds"]) == 10 and table["terms_acknowledged"] is None
    last = [json.loads(line) for line in log.read_text().splitlines()][-2]
    assert (last["step"], last["steps"], last["answers"], last["cost"]) == (2, 2, 2, 0.0004)


def test_another_way_of_asking_is_refused(rounds, capsys):
    assert command(rounds, "--count", 2, "--seed", 9) == 2
    assert "another model, sampling or seeds" in capsys.readouterr().err


def test_an_end_before_enough_says_why(rounds, tmp_path, capsys):
    log = tmp_path / "log"
    assert command(rounds, "--count", 9, "--progress", log) == 1
    assert "10 prompts in a row failed" in capsys.readouterr().err
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["event"] == "failed" and "Only 2 of 9 pairs" in last["message"]
    assert len(read_examples(rounds)[0]) == 2, "what there is was kept"


@pytest.mark.slow
def test_with_the_embedded_reference(pocket_settings, tmp_path, monkeypatch):
    monkeypatch.setenv("IMITATION_CACHE", str(pocket_settings.cache))
    monkeypatch.setenv("IMITATION_DATA", str(tmp_path / "data"))
    out = tmp_path / "pairs.jsonl"
    assert command(out, "--count", 3, "--concurrency", 2) == 0
    examples, refused = read_examples(out)
    assert (len(examples), refused) == (3, [])
    assert all(len(e.messages) == 2 for e in examples), "single turns"
    table = json.loads(manifest_of(out).read_text())
    assert table["stand_in"] and table["cost_dollars"] is None, "no price is not 0"
    assert table["prompt_tokens"] > 0 and table["answers"] >= 1
