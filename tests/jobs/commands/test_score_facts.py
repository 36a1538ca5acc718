"""Scores on the packaged facts."""

import asyncio
import json

import pytest

from imitation.facts import facts_of
from imitation.jobs.commands.score_facts import answer_facts, main, summarise
from imitation.models.backends.registry import Backends
from imitation.settings import read_settings
from imitation.values import ModelSpec


def test_failures_are_counted_and_not_scored_as_wrong(tmp_path):
    facts = facts_of("show")[:4]
    right, wrong = facts[0], facts[1]
    rows = [
        {"prompt": right.question, "answers": {"m": f"It is {right.answers[0]}."}},
        {"prompt": wrong.question, "answers": {"m": "I don't know."}},
    ]
    file = tmp_path / "recorded.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    card = ModelSpec("m", "M", "reference", "recorded", file=str(file), model="m")
    found = asyncio.run(answer_facts(Backends(read_settings({})), card, facts))
    summary = summarise("m", found)
    assert summary["accuracy"]["value"] == 0.5
    assert summary["accuracy"]["n"] == 2
    assert summary["failed"] == 2
    assert summary["verdicts"] == {
        facts[0].id: True,
        facts[1].id: False,
        facts[2].id: None,
        facts[3].id: None,
    }


def test_an_adapter_needs_one_base_and_a_file(tmp_path, capsys):
    missing = ["--adapter", str(tmp_path / "none.gguf")]
    assert main(["--models", "pocket-base", "pocket-reference", *missing]) == 2
    assert main(["--models", "pocket-base", *missing]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_model_knows_what_the_command_says(tmp_path, pocket_settings):
    out = tmp_path / "scores.json"
    arguments = ["--models", "pocket-reference", "--split", "show", "--out", str(out)]
    assert main(arguments) == 0
    (model,) = json.loads(out.read_text("utf-8"))["models"]
    assert model["accuracy"]["n"] == len(facts_of("show"))
    assert model["verdicts"]["capital-hungary"] is True
