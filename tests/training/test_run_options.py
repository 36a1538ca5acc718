"""The command line of a run: an option for each hyperparameter, and what earlier versions wrote."""

import json

import pytest

from imitation.errors import ConfigError
from imitation.jobs.parameters import parse
from imitation.jobs.registry import KINDS, command, parameters_of
from imitation.values import JobSpec
from training.config import preset
from training.run_options import Estimate, Finetune, RunOptions

WHERE = ["--preset", "pocket-broad", "--data", "d.jsonl", "--out", "o"]


def finetune(*argv):
    options = parse(Finetune, [*WHERE, *argv], "finetune", "")
    assert options is not None
    return options


def test_each_hyperparameter_is_an_option_of_its_own():
    options = finetune(
        "--learning-rate", "3e-4", "--packing", "--method", "full", "--lora-r", "4",
        "--target-modules", "q_proj", "v_proj", "--name", "007", "--no-export",
    )  # fmt: skip
    config = options.training_config()
    wanted = {
        "learning_rate": 3e-4, "packing": True, "method": "full", "lora_r": 4,
        "target_modules": ("q_proj", "v_proj"), "name": "007",
    }  # fmt: skip
    assert config == preset("pocket-broad").replace(**wanted)
    assert options.changes == wanted and not options.export
    assert finetune("--no-packing").changes == {"packing": False}


def test_set_says_the_same_and_an_option_goes_before_it():
    old = finetune("--set", "learning_rate=3e-4", "packing=true", "--set", 'name="007"',
                   "--set", 'target_modules=["q_proj"]', "--set", "schedule=linear")  # fmt: skip
    new = finetune("--learning-rate", "3e-4", "--packing", "--name", "007",
                   "--target-modules", "q_proj", "--schedule", "linear")  # fmt: skip
    assert old == new
    assert finetune("--set", "epochs=1", "--set", "epochs=2").changes == {"epochs": 2}
    assert finetune("--set", "epochs=1", "--epochs", "3").changes == {"epochs": 3}
    assert finetune("--set", "rank=4", "validation=0.1").changes == {
        "lora_r": 4, "val_fraction": 0.1,
    }  # fmt: skip


def test_its_own_command_line_says_it_again():
    options = finetune("--learning-rate", "3e-4", "--no-packing", "--target-modules", "q_proj",
                       "--base", "a base", "--resume", "--no-export")  # fmt: skip
    assert parse(Finetune, options.options(), "finetune", "") == options
    assert Finetune.of(options.as_json()) == options
    assert "--set" not in options.options()
    assert json.loads(json.dumps(options.as_json()))["learning_rate"] == 3e-4


def test_rows_of_earlier_versions_are_read():
    row = {
        "preset": "pocket-broad", "data": "d.jsonl", "out": "o", "resume": True,
        "set": ['name="one"', "micro_batch=2", "checkpointing=true", "learning_rate=2e-05"],
    }  # fmt: skip
    options = parameters_of(JobSpec("finetune", row, "one"))
    assert options == finetune("--name", "one", "--micro-batch-size", "2", "--resume",
                               "--gradient-checkpointing", "--learning-rate", "2e-5")  # fmt: skip


def test_all_that_is_wrong_is_said_at_once_as_it_is_typed():
    with pytest.raises(ConfigError) as caught:
        finetune("--lora-r", "0", "--epochs", "2.5", "--schedule", "cosin", "--set", "rnk=3")
    text = str(caught.value)
    assert len(caught.value.problems) == 4, text
    for part in ("--lora-r = '0' should be 1 to 256", "--epochs = '2.5' should be a whole number",
                 "Did you mean 'cosine'", "unknown key 'rnk'"):  # fmt: skip
        assert part in text
    with pytest.raises(ConfigError, match="--learning-rate"):
        finetune("--learning-rat", "1")
    with pytest.raises(ConfigError, match="either --preset or --config"):
        parse(RunOptions, ["--data", "x"], "preview", "")
    with pytest.raises(ConfigError, match="whole number"):
        finetune("--set", "lora_r=true")


def test_kinds_name_their_parameters():
    table = {"preset": "paper", "data": "d", "out": "o"}
    options = parameters_of(JobSpec("estimate", table, "x"))
    assert isinstance(options, Estimate)
    assert command("estimate", options)[1:] == (
        "-m", KINDS["estimate"].module, "--preset", "paper", "--data", "d", "--out", "o",
    )  # fmt: skip
