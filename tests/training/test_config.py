"""Configs: all problems together, near matches, presets that load."""

import dataclasses

import pytest

from imitation.errors import ConfigError, UserError
from training.config import TrainingConfig, from_table, load_config, preset, presets, to_table


def test_all_problems_are_reported_together_with_near_matches():
    with pytest.raises(ConfigError) as caught:
        from_table(
            {
                "learnign_rate": 1,
                "rank": 0,
                "epochs": 2.5,
                "dtype": "float16",
                "modules": ["q_porj"],
                "alpha": float("nan"),
                "name": 3,
            }
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 7
    for part in (
        "'learning_rate'",
        "rank = 0",
        "whole number",
        "bfloat16",
        "q_proj",
        "nan",
        "name",
    ):
        assert part in text


def test_the_dataclass_checks_itself():
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(batch_size=0, schedule="cosin", modules=())
    assert len(caught.value.problems) == 3
    with pytest.raises(ConfigError):
        TrainingConfig(rank=True)


def test_modules_must_be_a_list():
    with pytest.raises(ConfigError, match="list of names"):
        from_table({"modules": "q_proj"})


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
    assert dataclasses.replace(broad, name="x") == dataclasses.replace(local, name="x")


def test_unknown_presets_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match="pocket-brod"):
        preset("pocket-brod")
    path = tmp_path / "x.toml"
    path.write_text("rank = ", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"x\.toml"):
        load_config(path)
    with pytest.raises(ConfigError):
        load_config(tmp_path / "none.toml")
