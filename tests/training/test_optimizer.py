"""Full fine-tuning by the paper's recipe, bases of all kinds, and what is refused."""

import json
import warnings

import pytest
import torch

from imitation.data.format import write_examples
from imitation.errors import ConfigError, UserError
from tests.finished_run import answers, tiny_base
from tests.training.test_resume import events, run_here
from training import checkpoints
from training.base import load_base
from training.config import TrainingConfig, preset
from training.optimizer import LEAST_SCALE, check_method, make_optimizer, set_rates, trainable

TINY = ["--set", "max_tokens=128", "--set", "threads=1", "--set", "val_fraction=0.2"]


def test_relative_steps_are_a_share_of_each_weight_and_never_none():
    paper = preset("paper")
    model = torch.nn.ParameterList([torch.full((4,), value) for value in (2.0, 0.02, 0.0)])
    optimizer = make_optimizer(model, paper)
    before = [p.detach().clone() for p in model]
    for parameter in model:
        parameter.grad = torch.ones(4)
    set_rates(optimizer, 1e-2, paper)
    optimizer.step()
    moved = [float((b - p.detach()).mean()) for b, p in zip(before, model, strict=True)]
    assert moved == pytest.approx([1e-2 * 2.0, 1e-2 * 0.02, 1e-2 * LEAST_SCALE], rel=1e-3)


def test_what_cannot_work_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match=r"full' only, not 'lora'.*B starts at 0"):
        TrainingConfig(optimizer="relative")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="NVIDIA GPU with CUDA, and there is none"):
            check_method("qlora")
    check_method("full")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pocket-bse", "no base 'pocket-bse'.*pocket-base"),
        ("/no/such/folder", "no base '/no/such/folder'"),
        ("../up/and/away", "no base"),
        ("empty", "has no config.json"),
        ("adapter", "holds an adapter, not a base"),
        ("no-such-owner/no-such-model", "no-such-model could not be loaded"),
    ],
)
def test_a_base_that_does_not_exist_is_said_plainly(
    name, why, pocket_settings, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=why):
        load_base(pocket_settings, name, "float32")


@pytest.fixture(scope="module")
def small(pocket_settings, tmp_path_factory):
    """A local folder with a base of 2 layers and random weights, and conversations."""
    folder = tmp_path_factory.mktemp("full")
    tiny_base(pocket_settings, folder / "base")
    write_examples(folder / "data.jsonl", answers() * 4)
    return folder


@pytest.mark.slow
def test_the_papers_recipe_trains_all_weights_of_a_local_folder(small, pocket_settings):
    out = small / "out"
    arguments = ["--preset", "paper", *TINY, "--data", str(small / "data.jsonl")]
    arguments += ["--set", f"base={json.dumps(str(small / 'base'))}", "--set", "epochs=3"]
    arguments += ["--set", "batch_size=2", "--set", "learning_rate=2e-2", "--out", str(out)]
    assert run_here(pocket_settings, arguments) == 0, events(out, "failed")
    losses = [event["loss"] for event in events(out, "step")]
    assert losses[-1] < losses[0] - 0.5
    assert "its base is none" in events(out, "not_exported")[0]["reason"]
    config, fmt, manifest = checkpoints.load(out / "checkpoint")
    assert (config.method, fmt.name, manifest["train"]) == ("full", "chat", 16)
    assert manifest["blocks"] < 16
    again = load_base(pocket_settings, str(out / "checkpoint"), "float32")
    assert again.fmt == fmt
    before = load_base(pocket_settings, str(small / "base"), "float32").model.state_dict()
    moved = [n for n, w in again.model.state_dict().items() if not torch.equal(w, before[n])]
    assert len(moved) == len(before), "every tensor has moved"
    assert again.identity != load_base(pocket_settings, str(small / "base"), "float32").identity


@pytest.mark.slow
def test_an_adapter_on_a_local_folder_is_kept_but_not_for_the_engine(small, pocket_settings):
    out = small / "lora"
    config = preset("lora-0.1b").replace(base=str(small / "base"), epochs=1)
    arguments = ["--preset", "lora-0.1b", *TINY, "--data", str(small / "data.jsonl")]
    arguments += ["--set", f"base={json.dumps(config.base)}", "--set", "epochs=1"]
    assert run_here(pocket_settings, [*arguments, "--out", str(out)]) == 0, events(out, "failed")
    assert (out / "checkpoint" / "adapter_model.safetensors").is_file()
    assert "no GGUF" in events(out, "not_exported")[0]["reason"]


@pytest.mark.slow
def test_logs_hold_no_warnings_of_libraries(finished):
    assert "Warning" not in finished.log and "warnings.warn" not in finished.log, finished.log
    assert "Traceback" not in finished.log


@pytest.mark.slow
def test_four_bit_weights_are_recomputed_without_reentrance_and_a_warning(small, pocket_settings):
    """As bitsandbytes leaves a model, which needs a GPU: PEFT looks at this mark alone."""
    model = load_base(pocket_settings, str(small / "base"), "float32").model
    model.is_loaded_in_4bit = True
    config = preset("lora-0.1b").replace(method="qlora", gradient_checkpointing=True)
    with warnings.catch_warnings(action="error"):
        adapted = trainable(model, config)
        ids = torch.arange(8)[None]
        adapted.train()
        adapted(input_ids=ids, labels=ids).loss.backward()
    grads = {n: p.grad for n, p in adapted.named_parameters() if p.requires_grad}
    assert len(grads) == 2 * 2 * 7
    assert all(g is not None and g.any() for n, g in grads.items() if "lora_B" in n)
