"""Configs: all problems together, near matches, presets that load."""

import logging

import pytest

from imitation.errors import ConfigError, UserError
from imitation.models.embedded.gguf import LORA_MODULES
from training import hyperparameters as hyperparameters_module
from training.config import (
    PROJECTIONS,
    TrainingConfig,
    from_table,
    load_config,
    preset,
    presets,
    to_table,
)
from training.hyperparameters import hyperparameters, lighter, markdown


def test_all_problems_are_reported_together_with_near_matches():
    with pytest.raises(ConfigError) as caught:
        from_table(
            {
                "learnign_rate": 1,
                "lora_r": 0,
                "epochs": 2.5,
                "dtype": "float16",
                "target_modules": ["q_porj"],
                "lora_alpha": float("nan"),
                "name": 3,
            }
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 7
    for part in (
        "'learning_rate'",
        "lora_r = 0",
        "whole number",
        "bfloat16",
        "q_proj",
        "nan",
        "name",
    ):
        assert part in text


def test_the_dataclass_checks_itself():
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(batch_size=0, schedule="cosin", target_modules=())
    assert len(caught.value.problems) == 3
    with pytest.raises(ConfigError):
        TrainingConfig(lora_r=True)


def test_modules_must_be_a_list():
    with pytest.raises(ConfigError, match="list of names"):
        from_table({"target_modules": "q_proj"})


def test_every_preset_loads_and_survives_a_round_trip():
    assert {
        "pocket-broad",
        "pocket-local",
        "paper",
        "lora-0.1b",
        "lora-1b",
        "lora-7b",
        "lora-13b",
    } == set(presets())
    for name in presets():
        config = preset(name)
        assert config.name == name
        assert from_table(to_table(config)) == config


def test_broad_and_local_differ_in_their_name_only():
    broad, local = preset("pocket-broad"), preset("pocket-local")
    assert broad.replace(name="x") == local.replace(name="x")


def test_unknown_presets_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match="pocket-brod"):
        preset("pocket-brod")
    path = tmp_path / "x.toml"
    path.write_text("lora_r = ", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"x\.toml"):
        load_config(path)
    with pytest.raises(ConfigError):
        load_config(tmp_path / "none.toml")


def test_former_names_are_read_with_one_note(caplog):
    hyperparameters_module._note.cache_clear()
    old = {
        "rank": 4, "alpha": 8.0, "modules": ["q_proj"], "micro_batch": 2, "checkpointing": True,
        "clip_norm": 0.5, "validation": 0.1,
    }  # fmt: skip
    with caplog.at_level(logging.WARNING):
        config = from_table(old)
        assert from_table(old) == config == TrainingConfig().replace(**old)
    assert (config.lora_r, config.lora_alpha, config.target_modules) == (4, 8.0, ("q_proj",))
    assert (config.micro_batch_size, config.gradient_checkpointing) == (2, True)
    assert (config.max_grad_norm, config.val_fraction) == (0.5, 0.1)
    assert len(caplog.records) == len(old), "each name once, however often it is read"
    assert "rank is called lora_r now" in caplog.text
    with pytest.raises(ConfigError, match="lora_r = 0 should be 1 to 256"):
        from_table({"rank": 0})


def test_the_engine_knows_the_projections_that_are_trained():
    assert set(PROJECTIONS) == set(LORA_MODULES)


def test_every_hyperparameter_has_words_and_the_table_names_all():
    table = markdown(TrainingConfig)
    for name, hyperparameter in hyperparameters(TrainingConfig).items():
        assert hyperparameter.knob.label and hyperparameter.knob.help.endswith(".")
        assert f"| `{name}` |" in table
    assert set(hyperparameters(TrainingConfig)) == set(TrainingConfig.model_fields)


def test_it_is_made_lighter_by_what_leaves_the_result_as_it_is_first():
    config, turned = TrainingConfig(micro_batch_size=4), []
    while change := lighter(config):
        turned.append(change)
        config = config.replace(**change)
    assert turned[:3] == [
        {"micro_batch_size": 2}, {"micro_batch_size": 1}, {"gradient_checkpointing": True},
    ]  # fmt: skip
    assert [list(change) for change in turned[3:]] == [["max_tokens"]] * 6
    assert config.max_tokens == 8
    assert lighter(config.replace(max_tokens=512), elastic_only=True) == {}
