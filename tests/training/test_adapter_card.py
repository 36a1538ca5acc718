"""The shipped adapters: each card tells of the file beside it and of the data in the repo."""

import json
from pathlib import Path

import pytest

from imitation.data.format import read_examples, sha256_of
from imitation.facts import facts_of, find
from imitation.models.catalog import load_catalog
from imitation.models.embedded.gguf import read, read_metadata
from imitation.models.embedded.weights import GGUF_SHA256
from imitation.settings import read_settings
from training.config import from_table, preset

ROOT = Path(__file__).parents[2]
ADAPTERS = ROOT / "imitation" / "models" / "adapters"
KEYS = {
    "schema", "id", "what", "licence", "made", "caveats", "base", "reference", "lineage",
    "adapter", "data", "prompt_format", "config", "training", "scores", "commands",
}  # fmt: skip


@pytest.fixture(params=["pocket-broad", "pocket-local"])
def card(request):
    return json.loads((ADAPTERS / f"{request.param}.json").read_text("utf-8"))


def data_of(card):
    return ROOT / "imitation" / "data" / "pocket" / card["data"]["files"][0]["file"]


def test_keys_and_honest_words(card):
    assert set(card) == KEYS
    assert card["schema"] == 1
    assert card["licence"] == "Apache-2.0"
    assert "never ChatGPT" in card["what"]
    assert any("repair of the cut layers" in caveat for caveat in card["caveats"])


def test_the_adapter_is_the_file_beside_it(card):
    file = ADAPTERS / card["adapter"]["file"]
    assert file.stat().st_size == card["adapter"]["bytes"] < 6_000_000
    assert sha256_of(file) == card["adapter"]["sha256"]
    header = read_metadata(file)
    assert header["adapter.lora.alpha"] == card["config"]["alpha"]
    ranks = {int(t.shape[1]) for t in read(file).tensors if t.name.endswith("lora_a")}
    assert ranks == {card["config"]["rank"]}
    assert 4 <= card["config"]["rank"] <= 8


def test_the_data_is_shipped_and_unchanged(card):
    (file,) = card["data"]["files"]
    assert sha256_of(data_of(card)) == file["sha256"]
    examples, refused = read_examples(data_of(card))
    assert (len(examples), len(refused)) == (file["conversations"], 0)
    assert card["data"]["train"] + card["data"]["validation"] == len(examples)
    assert {e.source for e in examples} == {card["reference"]["card"]}
    assert all(e.meta["sampling"] == card["data"]["sampling"] for e in examples)
    assert card["reference"]["gguf_sha256"] == GGUF_SHA256


def test_the_catalog_and_the_readme_say_what_the_card_says(card):
    shipped = load_catalog([read_settings({}).catalogs[0]])[card["id"]]
    assert shipped.tokens_m == round(card["data"]["train_tokens"] / 1e6, 4)
    accuracy = card["scores"]["facts"]["accuracy"][card["id"]]
    assert f"facts right: {100 * accuracy['value']:.0f}%" in shipped.notes
    readme = (ROOT / "docs/pages/finetune.md").read_text("utf-8")
    value, low, high = (f"{100 * accuracy[end]:.0f}" for end in ("value", "low", "high"))
    assert f"| {card['training']['trained_tokens']:,} | {value}% [{low}, {high}] |" in readme


def test_nothing_held_out_was_trained_on(card):
    held_out = {f.question for split in ("evaluate", "show") for f in facts_of(split)}
    style = (ROOT / "imitation" / "data" / "style_prompts.jsonl").read_text("utf-8")
    held_out |= {json.loads(line)["prompt"] for line in style.splitlines()}
    prompts = {e.messages[0].content for e in read_examples(data_of(card))[0]}
    assert not prompts & held_out
    if card["id"] == "pocket-local":
        assert {find(prompt).split for prompt in prompts} == {"train"}


def test_the_config_is_the_preset(card):
    assert from_table(card["config"]) == preset(card["id"])


def test_scores_have_intervals_and_enough_facts(card):
    facts = card["scores"]["facts"]
    assert facts["split"] == "evaluate"
    assert facts["n"] == len(facts_of("evaluate")) >= 200
    for value in (*facts["accuracy"].values(), facts["imitation_minus_base"]):
        assert value["low"] <= value["value"] <= value["high"]
    assert len(facts["right"]) / facts["n"] == facts["accuracy"][card["id"]]["value"]
    for style in card["scores"]["style"].values():
        overlap = style["unigram_intersection"]
        assert 0 <= overlap["low"] <= overlap["value"] <= overlap["high"] <= 1


def test_the_loss_curve_is_whole(card):
    training = card["training"]
    assert [step for step, _ in training["loss"]] == list(range(1, training["steps"] + 1))
    assert training["trained_tokens"] == (
        card["data"]["trained_tokens_per_epoch"] * card["config"]["epochs"]
    )
    assert training["validation_loss"][-1][1] < training["validation_loss"][0][1]


def test_broad_and_local_were_made_alike():
    broad, local = (
        json.loads((ADAPTERS / f"pocket-{name}.json").read_text("utf-8"))
        for name in ("broad", "local")
    )
    assert broad["base"] == local["base"]
    assert broad["data"]["sampling"] == local["data"]["sampling"]
    assert {**broad["config"], "name": ""} == {**local["config"], "name": ""}
