"""What is said before a run starts: its first batch, and what it takes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from imitation.data.encode import IGNORE_INDEX, Encoded
from imitation.data.format import write_examples
from imitation.values import Example, Message
from tests.finished_run import answers
from tests.training.tiny_models import tiny_config
from training import preview
from training.base import load_text
from training.config import preset
from training.estimate import estimate
from training.memory import (
    GAPS,
    OVERHEAD,
    Shape,
    _held,
    _of_layers,
    _predicted,
    _small,
    fitting,
    peak,
    shape_of,
)
from training.preview import preview as first_batch

SHAPE = Shape(
    weights=400, trained=10, largest=5, width=4, stored=4, layers=10, hidden=2, vocabulary=50,
    per_layer=100.0, outside=10.0,
)  # fmt: skip
PLAIN = preset("pocket-local")


def test_the_peak_is_the_sum_of_what_is_held_at_once():
    found = peak(SHAPE, PLAIN, tokens=7, predicted=3)
    assert (found.weights, found.gradients, found.optimizer) == (400, 40, 80)
    assert found.activations == 7 * (10 * 100 + 10)
    assert found.logits == 3 * 3 * 50 * 4
    assert found.gaps == int(GAPS["lora"] * (7070 + 1800)) or torch.cuda.is_available()
    assert found.total == 400 + 40 + 80 + 7070 + 1800 + found.gaps + OVERHEAD
    lighter = peak(SHAPE, PLAIN.replace(gradient_checkpointing=True), 7, 3)
    assert lighter.activations == 7 * (10 * 2 * 4 + 100 + 10)
    assert lighter.gaps == 0


def test_weights_computed_with_in_another_format_are_there_twice():
    mixed = replace(SHAPE, width=2, copied=30)
    head = 50 * 2 * 2
    found = peak(mixed, PLAIN, tokens=7, predicted=3)
    assert found.weights == 400 + 10 * 30 + head
    assert found.logits == 3 * 3 * 50 * 4 + 3 * 50 * 2
    again = PLAIN.replace(gradient_checkpointing=True)
    assert peak(mixed, again, 7, 3).weights == 400 + 30 + head, "a layer's and the head's"
    many = replace(mixed, layers=100)
    all_at_once = 100 * 30 + head
    assert peak(many, again, 7, 3).weights == 400 + all_at_once - found.logits


def test_what_a_layer_keeps_is_told_from_the_copies_of_its_weights():
    tiny = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        vocab_size=100,
    )  # fmt: skip
    full = PLAIN.replace(method="full")
    same = shape_of(tiny, full, "float32", "float32")
    mixed = shape_of(tiny, full, "bfloat16", "float32")
    assert (same.copied, mixed.copied) == (0, 2 * (4 * 32 * 32 + 3 * 32 * 64))
    assert same.per_layer / 2 <= mixed.per_layer < same.per_layer
    assert same.outside == mixed.outside


def test_attention_that_keeps_its_weights_is_counted_by_pairs_of_tokens():
    """Gemma-2's cap rules out fused attention: a row twice as long keeps four times as much."""
    config = tiny_config("gemma2")
    full = PLAIN.replace(method="full")
    shape = shape_of(config, full, "float32", "float32")
    assert not shape.joined and shape.copied < 1024 and shape.logits == 4
    assert shape.per_pair >= 4 * config.num_attention_heads
    kept = _held(_small(_of_layers(config, 2), full, "float32"), 300, False)
    told = 300 * (2 * (shape.per_layer + 300 * shape.per_pair) + shape.outside)
    assert told == pytest.approx(kept, rel=0.01)
    llama = shape_of(tiny_config("llama"), full, "float32", "float32")
    assert llama.joined and llama.per_pair == pytest.approx(0, abs=1e-6) and llama.logits == 3
    long, short = (peak(shape, full, 400, 100, row).activations for row in (400, 100))
    assert long - short == pytest.approx(400 * 300 * shape.layers * shape.per_pair, rel=1e-3)


def test_logits_are_counted_by_columns_where_rows_are_padded():
    one, other = (
        Encoded("", (5,) * 6, (IGNORE_INDEX,) * 6),
        Encoded("", (5,) * 4, (IGNORE_INDEX,) * 4),
    )
    part = [
        replace(one, labels=(IGNORE_INDEX, IGNORE_INDEX, 5, 5, 5, 5)),
        replace(other, labels=(IGNORE_INDEX, 5, 5, IGNORE_INDEX)),
    ]
    assert _predicted(part, SHAPE) == 4 + 2
    assert _predicted(part, replace(SHAPE, joined=False)) == 2 * 5
    assert _predicted(part, replace(SHAPE, joined=False, chooses=False)) == 2 * 6


def test_making_it_fit_changes_what_costs_least_first():
    full = PLAIN.replace(method="full", micro_batch_size=4)

    def needs(config):
        need = 100 if config.method == "full" else {"lora": 40, "qlora": 10}[config.method]
        return need + config.micro_batch_size * (5 if config.gradient_checkpointing else 20)

    def fitted(room, cuda=False):
        return fitting(full, needs, room, cuda=cuda)

    assert fitted(500) == full
    assert fitted(140) == full.replace(micro_batch_size=2)
    assert fitted(105) == full.replace(micro_batch_size=1, gradient_checkpointing=True)
    light = fitted(60)
    assert (light.method, light.optimizer, light.learning_rate) == ("lora", "adamw", 2e-4)
    assert fitted(20) is None
    assert fitted(20, cuda=True).method == "qlora"


def test_a_paper_run_is_made_to_fit_with_a_rate_for_adapters():
    paper = preset("paper")
    light = fitting(paper, lambda c: 2 if c.method == "full" else 1, 1, cuda=False)
    assert (light.method, light.optimizer) == ("lora", "adamw")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.jsonl"
    long = Example(
        (Message("user", "Count."), Message("assistant", "One two three. " * 60)), id="long"
    )
    write_examples(path, [*answers(), long])
    return path


@pytest.mark.slow
def test_the_preview_is_the_batch_that_is_trained(data, pocket_settings):
    config = PLAIN.replace(batch_size=3, val_fraction=0.0)
    shown = first_batch(config, data, pocket_settings)
    assert len(shown["rows"]) == 3 and shown["more_rows"] == 0
    by_id = {example.id: example for example in answers()}
    for row in shown["rows"]:
        said = "".join(text for text, trained, _ in row["tokens"] if trained)
        if row["ids"] in by_id:
            assert said == by_id[row["ids"]].messages[1].content + "<|im_end|>"
            asked = "".join(text for text, trained, _ in row["tokens"] if not trained)
            assert by_id[row["ids"]].messages[0].content in asked
        assert row["trained"] == sum(trained for _, trained, _ in row["tokens"])
    packed = first_batch(
        config.replace(packing=True, max_tokens=128, batch_size=8), data, pocket_settings
    )
    assert any(row["conversations"] > 1 for row in packed["rows"])
    for row in packed["rows"]:
        assert sum(first for *_, first in row["tokens"]) == row["conversations"]
        assert row["length"] <= 128
    assert packed["more_rows"] == max(0, packed["data"]["blocks"] - preview.ROWS)


@pytest.mark.slow
def test_an_estimate_counts_what_the_run_will_do(data, pocket_settings, tmp_path):
    config = PLAIN.replace(batch_size=2, micro_batch_size=1, epochs=3, threads=1, max_tokens=64)
    found = estimate(config, data, tmp_path / "not" / "yet", pocket_settings)
    assert found["steps"] == 3 * 3
    text = load_text(pocket_settings, config.base)
    rendered = [text.fmt.render(e.messages) for e in answers()]
    lengths = [min(64, len(text.tokenize(r.text[: r.outputs[-1].end], False))) for r in rendered]
    assert found["tokens"] == 3 * (sum(lengths) + 64)
    assert found["fits"] and found["fit"] == {}
    assert found["tokens_per_s"] > 1
    assert found["seconds"] == pytest.approx(found["tokens"] / found["tokens_per_s"])
    memory = found["memory"]
    parts = ("weights", "gradients", "optimizer", "activations", "logits", "gaps", "overhead")
    assert memory["total"] == sum(memory[part] for part in parts)
    assert 450e6 < memory["weights"] < 500e6, "120 million numbers of 4 bytes"
    full = estimate(config.replace(method="full"), data, tmp_path, pocket_settings, probe=False)
    assert full["memory"]["optimizer"] == 2 * full["memory"]["gradients"]
    assert full["memory"]["total"] > memory["total"] + 1.3e9
    assert full["seconds"] is None and full["disk"]["needed"] > found["disk"]["needed"]


def test_what_is_wrong_is_printed_as_json(tmp_path, capsys):
    arguments = ["--preset", "pocket-local", "--data", str(tmp_path / "none.jsonl")]
    assert preview.main([*arguments, "--set", "rnak=2"]) == 1
    assert "rnak" in json.loads(capsys.readouterr().out)["error"]
    assert Path(arguments[-1]).exists() is False
