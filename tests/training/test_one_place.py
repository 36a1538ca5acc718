"""A hyperparameter stands in one place."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROBE = """
import json
import gradio as gr
from dashboards.finetune.form import FormFields
from training.config import TrainingConfig
from training.hyperparameters import hyperparameters, markdown
from training.run_options import Finetune
from imitation.errors import ConfigError
from imitation.jobs.parameters import parse

with gr.Blocks():
    fields = FormFields()
box = fields.hyperparameters["label_smoothing"]
line = ["--preset", "paper", "--data", "d", "--out", "o", "--label-smoothing"]
try:
    parse(Finetune, [*line, "2"], "finetune", "")
except ConfigError as error:
    refused = str(error)
print(json.dumps({
    "form": [type(box).__name__, box.label, box.info, box.elem_id],
    "command": parse(Finetune, [*line, "0.1"], "finetune", "").training_config().label_smoothing,
    "refused": refused,
    "table": "| `label_smoothing` | Label smoothing | 0 to 0.5 | `0` |" in markdown(TrainingConfig),
}))
"""


@pytest.mark.slow
def test_a_hyperparameter_is_added_in_one_place(tmp_path):
    """A field more in a copy of the config, and nothing else: everything knows it."""
    copied = shutil.copytree(ROOT / "training", tmp_path / "training")
    path = copied / "config.py"
    before = path.read_text()
    field = (
        "    label_smoothing: Annotated[\n        float,\n        Field(ge=0, le=0.5),\n"
        '        Knob("Label smoothing", "Share of each target spread over others.", "more"),\n'
        "    ] = 0.0\n"
    )
    last = "    threads: Annotated["
    assert before.count(last) == 1
    path.write_text(before.replace(last, field + last))
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["form"] == [
        "Number", "Label smoothing", "Share of each target spread over others.",
        "finetune-label_smoothing",
    ]  # fmt: skip
    assert told["command"] == 0.1 and told["table"]
    assert "--label-smoothing = '2' should be 0 to 0.5" in told["refused"]
