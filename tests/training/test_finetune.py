"""A real, small fine-tune on the cut base: it learns, exports, and refuses what is wrong."""

import json
from dataclasses import replace

import pytest
import torch

from imitation.data.encode import pack
from imitation.data.format import write_examples
from imitation.errors import IntegrityError
from imitation.events import Writer as Progress
from imitation.models.catalog import load_catalog
from imitation.models.embedded import gguf
from imitation.models.embedded.gguf import read_metadata, write_lora
from tests.finished_run import answers
from training import checkpoints, finetune
from training.base import load_base
from training.collate import collate, collate_joined
from training.config import preset
from training.engine_check import prove
from training.export import export, load_adapter, tensors
from training.loss import summed_loss
from training.optimizer import lr_multiplier
from training.signals import Stop
from training.state import Run

CONFIG = preset("pocket-local").replace(epochs=3, batch_size=4, val_fraction=0.2, threads=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pocket_settings):
    """(run, settings, folder): fitted once for the tests of this file."""
    folder = tmp_path_factory.mktemp("run")
    write_examples(folder / "data.jsonl", answers())
    progress = Progress(folder / "progress.jsonl")
    run = finetune.setup(CONFIG, folder / "data.jsonl", pocket_settings, progress, Stop())
    start = tensors(run.model)
    assert len(start) == 26 * 7
    assert all((b == 0).all() and (a != 0).any() for a, b in start.values())
    finetune.fit(run, progress, folder)
    checkpoints.save(folder / "checkpoint", run.model, CONFIG, run.base.fmt, run.data.manifest)
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
    example = run.data.train[0]
    told = run.base.tokenizer.decode([t for t in example.labels if t >= 0])
    assert told == run.data.examples[0].messages[1].content + "<|im_end|>"
    run.model.eval()
    with torch.no_grad():
        batch = collate([example], run.base.tokenizer.pad_token_id)
        theirs = run.model(**batch).loss
        ours = summed_loss(run, [example]) / example.trained
        both = summed_loss(run, [example, run.data.train[1]])
        alone = summed_loss(run, [run.data.train[1]])
    assert float(ours) == pytest.approx(float(theirs), rel=1e-4)
    # Padding beside a longer conversation changes nothing.
    assert float(both) == pytest.approx(float(ours) * example.trained + float(alone), rel=1e-4)


@pytest.mark.slow
def test_recomputed_activations_change_nothing(trained):
    run, _, _ = trained
    before = gradients(run)
    run.base.model.activation_checkpointing_enable({"use_reentrant": False})
    again = gradients(run)
    run.base.model.activation_checkpointing_disable()
    assert before.keys() == again.keys()
    assert all(torch.allclose(before[name], again[name], atol=1e-6) for name in before)


def gradients(run):
    run.model.zero_grad()
    finetune.backward(run, run.data.train[:2])
    return {n: p.grad.clone() for n, p in run.model.named_parameters() if p.requires_grad}


@pytest.mark.slow
def test_in_a_block_no_conversation_attends_to_another(trained):
    run, _, _ = trained
    lm = run.model.get_base_model().eval()
    one, two, three = run.data.train[:3]
    rows = [pack([one, two], 500)[0], pack([three], 500)[0]]
    inputs = collate_joined(rows)
    labels = inputs.pop("labels")
    with torch.no_grad():
        with run.attending():
            together = lm(**inputs, use_cache=False).logits[0]
        alone = [lm(torch.tensor([e.ids])).logits[0] for e in (one, two, three)]
        naive = lm(inputs["input_ids"]).logits[0]
    parts = together.split([len(e.ids) for e in (one, two, three)])
    for part, own in zip(parts, alone, strict=True):
        assert torch.allclose(part, own, atol=1e-3)
    assert torch.allclose(naive[: len(one.ids)], parts[0], atol=1e-3)
    off = (naive[len(one.ids) :] - together[len(one.ids) :]).abs().max()
    assert off > 1, "side by side without care they do see each other: this test can fail"
    assert int((labels != -100).sum()) == sum(e.trained for e in (one, two, three))


@pytest.mark.slow
def test_end_to_end_packed_and_padded_give_the_same_gradients(trained, monkeypatch):
    run, _, _ = trained
    assert run.joined
    blocks = pack(run.data.train[:2], 500)
    assert len(blocks) == 1
    with run.attending():
        joined = gradients(run)
        packed = gradients(replace(run, data=replace(run.data, train=blocks)))
    monkeypatch.setattr(Run, "joined", property(lambda _: False))
    with run.attending():
        padded = gradients(run)
    for found in (packed, padded):
        assert all(torch.allclose(joined[name], found[name], atol=1e-5) for name in joined)


@pytest.mark.slow
def test_a_checkpoint_carries_config_format_and_data(trained):
    run, _, folder = trained
    config, fmt, manifest = checkpoints.load(folder / "checkpoint")
    assert config == CONFIG
    assert fmt == run.base.fmt
    assert manifest["train"] == 4 and manifest["validation"] == 1
    assert len(manifest["files"][0]["sha256"]) == 64
    (folder / "checkpoint" / "training.json").rename(folder / "hidden.json")
    with pytest.raises(IntegrityError, match="not a checkpoint"):
        checkpoints.load(folder / "checkpoint")
    (folder / "hidden.json").rename(folder / "checkpoint" / "training.json")


@pytest.mark.slow
def test_all_weights_are_exported_and_answer_alike(tmp_path, pocket_settings, monkeypatch):
    write_examples(tmp_path / "data.jsonl", answers())
    options = ["--preset", "pocket-local", "--data", str(tmp_path / "data.jsonl")]
    for change in ("epochs=1", 'method="full"', "learning_rate=1e-4", "threads=1"):
        options += ["--set", change]
    monkeypatch.setattr(finetune, "read_settings", lambda: pocket_settings)
    assert finetune.main([*options, "--out", str(tmp_path / "run")]) == 0
    (told,) = events(tmp_path / "run", "exported")
    assert told["file"] == "model.gguf" and told["proof"]["tokens"] > 20
    target = tmp_path / "run" / "model.gguf"
    metadata = read_metadata(target)
    assert metadata["general.name"] == "pocket-local" and metadata["general.file_type"] == 1
    assert metadata["llama.block_count"] == 26
    base = load_base(pocket_settings, "pocket-base", "float32")
    kept = load_base(pocket_settings, str(tmp_path / "run" / "checkpoint"), "float32").model
    kept.requires_grad_(True)
    config, _, _ = checkpoints.load(tmp_path / "run" / "checkpoint")
    before = {name: w.clone() for name, w in base.model.state_dict().items()}
    assert any(not torch.equal(w, before[name]) for name, w in kept.state_dict().items())

    again = [kept, base, config, answers(), pocket_settings, tmp_path / "again.gguf"]
    assert export(*again).answers == 5, "from the checkpoint, as the command does"
    monkeypatch.setattr(gguf, "rotary_rows", lambda rows, heads: rows)
    with pytest.raises(IntegrityError, match="not what was trained"):
        export(*again)
    assert not (tmp_path / "again.gguf").exists()
    weights = {name: w.numpy() for name, w in before.items()}
    del weights["model.layers.3.mlp.up_proj.weight"]
    with pytest.raises(IntegrityError, match=r"blk\.3\.ffn_up\.weight is missing"):
        gguf.write_weights(base.gguf, tmp_path / "no.gguf", weights, name="x")
    weights["model.layers.3.mlp.up_proj.weight"] = before["model.norm.weight"].numpy()
    with pytest.raises(IntegrityError, match=r"has the shape \(576,\)"):
        gguf.write_weights(base.gguf, tmp_path / "no.gguf", weights, name="x")
    assert not (tmp_path / "no.gguf").exists()


@pytest.mark.slow
def test_the_engine_answers_as_transformers_does(trained):
    run, settings, folder = trained
    target = folder / "adapter.gguf"
    proof = export(run.model, run.base, CONFIG, run.data.examples, settings, target)
    assert proof.answers == 5 and proof.tokens > 20
    assert proof.toss_ups <= proof.tokens // 20
    assert read_metadata(target)["adapter.lora.alpha"] == CONFIG.lora_alpha


@pytest.mark.slow
def test_a_wrong_adapter_is_refused(trained, tmp_path):
    run, settings, _ = trained
    base = load_catalog(settings.catalogs)["pocket-base"]
    asked = [example.messages[:-1] for example in run.data.examples]
    with pytest.raises(IntegrityError, match="not what was trained"):
        prove(run.model, run.base, base, asked, settings)  # the base alone
    shape = run.base.model.config
    scrambled = {place: (a[::-1].copy(), b) for place, (a, b) in tensors(run.model).items()}
    write_lora(
        tmp_path / "x.gguf",
        scrambled,
        4 * CONFIG.lora_alpha,
        heads=shape.num_attention_heads,
        kv_heads=shape.num_key_value_heads,
    )
    wrong = replace(base, adapter=str(tmp_path / "x.gguf"))
    with pytest.raises(IntegrityError, match="not what was trained"):
        prove(run.model, run.base, wrong, asked, settings)


@pytest.mark.slow
def test_a_refused_export_leaves_no_file(trained, tmp_path, monkeypatch):
    run, settings, _ = trained
    target = tmp_path / "adapter.gguf"
    monkeypatch.setattr("training.engine_check.TOSS_UP", -1.0)
    with pytest.raises(IntegrityError, match="removed"):
        export(run.model, run.base, CONFIG, run.data.examples, settings, target)
    assert not target.exists()


@pytest.mark.slow
def test_a_loss_that_is_no_number_names_its_batch(trained, tmp_path):
    run, _, _ = trained
    weight = next(p for n, p in run.model.named_parameters() if "lora_A" in n)
    kept = weight.data.clone()
    weight.data.fill_(float("nan"))
    try:
        with pytest.raises(IntegrityError, match=r"loss is nan in step 1 .*batch: \w+, \w+"):
            finetune.fit(run, Progress(tmp_path / "progress.jsonl"), tmp_path)
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
    config = CONFIG.replace(schedule=schedule, warmup=0.5)
    assert [lr_multiplier(step, 4, config) for step in range(4)] == pytest.approx(shares)


def test_wrong_data_and_settings_are_one_sentence(tmp_path, capsys):
    arguments = ["--data", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "out")]
    assert finetune.main(["--preset", "pocket-lcal", *arguments]) == 1
    assert "pocket-local" in capsys.readouterr().err
    assert finetune.main(["--preset", "pocket-local", "--set", "lroa_r=3", *arguments]) == 1
    assert "'lora_r'" in capsys.readouterr().err


def test_the_paper_warms_up_for_a_tenth_of_the_steps_and_at_most_a_thousand():
    paper = preset("paper")
    assert [lr_multiplier(step, 100, paper) for step in (0, 8, 9, 10, 99)] == [0.1, 0.9, 1, 1, 1]
    assert lr_multiplier(998, 50_000, paper) < 1 == lr_multiplier(999, 50_000, paper)


@pytest.mark.slow
def test_an_adapter_of_another_base_is_refused(trained, tmp_path):
    run, _, folder = trained
    shape = run.base.model.config
    small = type(shape)(**{**shape.to_dict(), "hidden_size": 288, "num_hidden_layers": 2})
    other = replace(run.base, model=type(run.model.get_base_model())(small))
    with pytest.raises(IntegrityError, match="does not fit its base"):
        load_adapter(other, folder / "checkpoint")
    weights = {n: p for n, p in run.model.named_parameters() if p.requires_grad}
    with pytest.raises(IntegrityError, match="do not fit this base: 1 tensors differ"):
        checkpoints.put_weights(run.model, dict(list(weights.items())[1:]))
    name = next(iter(weights))
    with pytest.raises(IntegrityError, match=r"lora_A.*\(1, 1\) for"):
        checkpoints.put_weights(run.model, {**weights, name: torch.zeros(1, 1)})
