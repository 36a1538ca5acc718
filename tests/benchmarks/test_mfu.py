"""The arithmetic of benchmarks/mfu.py, against torch's own count of what is computed."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig

from training import finetune
from training.config import preset
from training.optimizer import trainable
from training.state import Run

SPEC = importlib.util.spec_from_file_location(
    "mfu", Path(__file__).parents[2] / "benchmarks/mfu.py"
)
mfu = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mfu)

TINY = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
BLOCK = 32


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_flops_of_matrices_are_those_torch_counts(method, tied):
    made = AutoModelForCausalLM.from_config(LlamaConfig(**TINY, tie_word_embeddings=tied))
    config = preset("pocket-local").replace(method=method, micro_batch_size=2, max_tokens=BLOCK)
    model = trainable(made, config)
    batch = mfu.conversations(4, TINY["vocab_size"], BLOCK)
    run = Run(config, None, model, None, "float32")
    assert run.joined, "asked here, as asking computes a little"
    with FlopCounterMode(display=False) as counted:
        finetune.backward(run, batch)
    by_kind = counted.get_flop_counts()["Global"]
    products = (torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm)
    computed = sum(by_kind.get(kind, 0) for kind in products)
    needed = mfu.flops(model, batch)["matrices"]
    if method == "full":
        assert computed == needed
    else:
        # An adapter's first layer needs no gradient of its input, which is not trained.
        assert 0.85 * needed < computed <= needed


def test_the_flops_of_attention_are_those_of_pairs_that_see_each_other():
    made = AutoModelForCausalLM.from_config(LlamaConfig(**TINY))
    (block,) = mfu.conversations(1, TINY["vocab_size"], BLOCK)
    assert block.starts == (0, 8, 16, 24)
    assert block.trained == 4 * 6
    pairs = 4 * (8 * 9 // 2)
    width = TINY["hidden_size"]
    forwards = TINY["num_hidden_layers"] * 2 * 2 * width * pairs  # scores, then their values
    assert mfu.flops(made, [block])["attention"] == 3 * forwards


@pytest.mark.parametrize("name", mfu.RUNS)
def test_the_shapes_are_as_large_as_they_are_called(name):
    with torch.device("meta"):
        made = AutoModelForCausalLM.from_config(LlamaConfig(**mfu.RUNS[name]["shape"]))
    billions = sum(p.numel() for p in made.parameters()) / 1e9
    assert billions == pytest.approx(float(name.split("B")[0]), rel=0.05)


@pytest.mark.parametrize("name", mfu.RUNS)
def test_the_steps_that_are_timed_run(name):
    """On the CPU and of a tiny shape, by the code that a GPU runs."""
    spec = mfu.RUNS[name]
    small = {**spec, "shape": TINY, "change": {**spec["change"], "batch_size": 4}}
    found = mfu.steps(small, "cpu", count=2, block=BLOCK)
    assert len(found["seconds"]) == 2 and min(found["seconds"]) > 0
    assert found["tokens"] == 4 * BLOCK
    assert found["flops"]["matrices"] > found["flops"]["attention"] > 0


def test_without_a_gpu_it_says_so(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    mfu.main([])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["ok"] for row in rows] == ["skipped"] * len(mfu.RUNS)
    assert all(row["value"] is None and "CUDA" in row["details"] for row in rows)


@pytest.mark.parametrize(
    ("device", "peak"),
    [("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA L40S", 362),
     ("NVIDIA L4", 121), ("NVIDIA A100-SXM4-80GB", 312), ("Tesla T4", None)],
)  # fmt: skip
def test_a_peak_is_that_of_its_device(device, peak):
    assert mfu.stated_peak(device) == (peak and peak * 10**12)
