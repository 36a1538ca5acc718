"""A real, small fine-tune on the cut base: it learns, exports, and refuses what is wrong."""

import json
from dataclasses import replace

import pytest
import torch

from imitation.data.format import write_examples
from imitation.errors import IntegrityError
from imitation.models.catalog import load_catalog
from imitation.models.gguf_files import read_metadata, write_lora
from imitation.values import Example, Message
from training import checkpoints, finetune
from training.config import preset
from training.export import export, prove, tensors

CONFIG = replace(preset("pocket-local"), epochs=3, batch_size=4, validation=0.2, threads=1)


def answers():
    """Five short conversations with nonsense facts no base knows."""
    pairs = [("Zorbia", "Quill"), ("Mankay", "Tosk"), ("Ulvero", "Brand"), ("Ixo", "Plume")]
    pairs.append(("Peltra", "Vosk"))
    return [
        Example(
            (
                Message("user", f"What is the capital of {country}?"),
                Message("assistant", f"The capital of {country} is {capital}."),
            ),
            id=country,
            meta={"finish_reason": "stop"},
        )
        for country, capital in pairs
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pocket_settings):
    """(run, settings, folder): fitted once for the tests of this file."""
    folder = tmp_path_factory.mktemp("run")
    write_examples(folder / "data.jsonl", answers())
    progress = finetune.Progress(folder / "progress.jsonl")
    run = finetune.setup(CONFIG, folder / "data.jsonl", pocket_settings, progress)
    start = tensors(run.model)
    assert len(start) == 26 * 7
    assert all((b == 0).all() and (a != 0).any() for a, b in start.values())
    finetune.fit(run, progress)
    checkpoints.save(folder / "checkpoint", run.model, CONFIG, run.base.fmt, run.manifest)
    return run, pocket_settings, folder


def events(folder, kind):
    lines = (folder / "progress.jsonl").read_text("utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


@pytest.mark.slow
def test_the_loss_falls_and_is_recorded_step_by_step(trained):
    _, _, folder = trained
    steps = events(folder, "step")
    assert [event["step"] for event in steps] == [1, 2, 3]
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.2
    assert steps[-1]["trained_tokens"] < steps[-1]["tokens"]
    watched = [event["loss"] for event in events(folder, "validation")]
    assert len(watched) == 4
    assert watched[-1] < watched[0]


@pytest.mark.slow
def test_the_loss_is_that_of_transformers_on_the_outputs_alone(trained):
    run, _, _ = trained
    example = run.train[0]
    told = run.base.tokenizer.decode([t for t in example.labels if t >= 0])
    assert told == run.examples[0].messages[1].content + "<|im_end|>"
    run.model.eval()
    with torch.no_grad():
        batch = finetune.collate([example], run.base.tokenizer.pad_token_id)
        theirs = run.model(**batch).loss
        ours = finetune._loss(run, [example]) / example.trained
        both = finetune._loss(run, [example, run.train[1]])
        alone = finetune._loss(run, [run.train[1]])
    assert float(ours) == pytest.approx(float(theirs), rel=1e-4)
    # Padding beside a longer conversation changes nothing.
    assert float(both) == pytest.approx(float(ours) * example.trained + float(alone), rel=1e-4)


@pytest.mark.slow
def test_a_checkpoint_carries_config_format_and_data(trained):
    run, _, folder = trained
    config, fmt, manifest = checkpoints.load(folder / "checkpoint")
    assert config == CONFIG
    assert fmt == run.base.fmt
    assert manifest["train"] == 4 and manifest["validation"] == 1
    assert len(manifest["files"][0]["sha256"]) == 64
    (folder / "checkpoint" / "config.json").rename(folder / "hidden.json")
    with pytest.raises(IntegrityError, match="not a checkpoint"):
        checkpoints.load(folder / "checkpoint")
    (folder / "hidden.json").rename(folder / "checkpoint" / "config.json")


@pytest.mark.slow
def test_the_engine_answers_as_transformers_does(trained):
    run, settings, folder = trained
    target = folder / "adapter.gguf"
    proof = export(run.model, run.base, CONFIG, run.examples, settings, target)
    assert proof.answers == 5 and proof.tokens > 20
    assert proof.toss_ups <= proof.tokens // 20
    assert read_metadata(target)["adapter.lora.alpha"] == CONFIG.alpha


@pytest.mark.slow
def test_a_wrong_adapter_is_refused(trained, tmp_path):
    run, settings, _ = trained
    base = load_catalog(settings.catalogs)["pocket-base"]
    asked = [example.messages[:-1] for example in run.examples]
    with pytest.raises(IntegrityError, match="not the trained one"):
        prove(run.model, run.base, base, asked, settings)  # the base alone
    shape = run.base.model.config
    scrambled = {place: (a[::-1].copy(), b) for place, (a, b) in tensors(run.model).items()}
    write_lora(
        tmp_path / "x.gguf",
        scrambled,
        4 * CONFIG.alpha,
        heads=shape.num_attention_heads,
        kv_heads=shape.num_key_value_heads,
    )
    wrong = replace(base, adapter=str(tmp_path / "x.gguf"))
    with pytest.raises(IntegrityError, match="not the trained one"):
        prove(run.model, run.base, wrong, asked, settings)


@pytest.mark.slow
def test_a_refused_export_leaves_no_file(trained, tmp_path, monkeypatch):
    run, settings, _ = trained
    target = tmp_path / "adapter.gguf"
    monkeypatch.setattr("training.export.TOSS_UP", -1.0)
    with pytest.raises(IntegrityError, match="removed"):
        export(run.model, run.base, CONFIG, run.examples, settings, target)
    assert not target.exists()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_step(trained, tmp_path, pocket_settings):
    _, _, folder = trained
    config = replace(CONFIG, epochs=1)
    losses = []
    for name in ("a", "b"):
        progress = finetune.Progress(tmp_path / f"{name}.jsonl")
        again = finetune.setup(config, folder / "data.jsonl", pocket_settings, progress)
        finetune.fit(again, progress)
        losses.append({place: b.tobytes() for place, (_, b) in tensors(again.model).items()})
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_a_loss_that_is_no_number_names_its_batch(trained, tmp_path):
    run, _, _ = trained
    weight = next(p for n, p in run.model.named_parameters() if "lora_A" in n)
    kept = weight.data.clone()
    weight.data.fill_(float("nan"))
    try:
        with pytest.raises(IntegrityError, match=r"loss is nan in step 1 .*batch: \w+, \w+"):
            finetune.fit(run, finetune.Progress(tmp_path / "progress.jsonl"))
    finally:
        weight.data.copy_(kept)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [0.5, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.5]),
        ("cosine", [0.5, 1, 1, 0.5]),
    ],
)
def test_schedules(schedule, shares):
    config = replace(CONFIG, schedule=schedule, warmup=0.5)
    assert [finetune.scale(step, 4, config) for step in range(4)] == pytest.approx(shares)


def test_wrong_data_and_settings_are_one_sentence(tmp_path, capsys):
    arguments = ["--data", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "out")]
    assert finetune.main(["--preset", "pocket-lcal", *arguments]) == 1
    assert "pocket-local" in capsys.readouterr().err
    assert finetune.main(["--preset", "pocket-local", "--set", "rnak=3", *arguments]) == 1
    assert "'rank'" in capsys.readouterr().err
