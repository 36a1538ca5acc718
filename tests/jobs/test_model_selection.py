"""Which models a command evaluates, and what is known of local ones; live scores."""

from __future__ import annotations

import json
import math
from contextlib import closing
from pathlib import Path

import pytest

from imitation.evaluation.report.files import live_scores
from imitation.jobs.evaluation_progress import Progress
from imitation.jobs.model_selection import subjects
from imitation.settings import read_settings


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("llama", "opt", "peft"):
        (tmp_path / name).mkdir()
    return tmp_path


def bases(folders: Path, *local: str, models: tuple[str, ...] = ()) -> dict[str, str]:
    texts = [text.replace("@", f"{folders}/") for text in local]
    found = subjects(read_settings(), models, texts)
    return {one.measured.id: one.measured.base for one in found}


def test_a_local_imitations_base_is_the_one_of_its_weights(folders: Path) -> None:
    one, two = "base:one=@llama", "base:two=@opt"
    assert bases(folders, one, two, "imitation:i=@opt+@peft")["i"] == "two"
    assert bases(folders, one, "imitation:i=@opt")["i"] == "one", "the only one"
    assert bases(folders, one, two, "imitation:i=@peft")["i"] == "", "nobody knows which"
    assert bases(folders, "imitation:i=@opt")["i"] == ""
    known = bases(folders, "imitation:i=@opt", models=("pocket-base",))
    assert known == {"pocket-base": "", "i": "pocket-base"}


@pytest.mark.parametrize(
    ("file", "text", "template"),
    [
        ("chat_template.jinja", "x", "chat"),
        ("tokenizer_config.json", json.dumps({"chat_template": "{{x}}"}), "chat"),
        ("tokenizer_config.json", json.dumps({"chat_template": None}), "plain"),
        ("tokenizer_config.json", "{", "plain"),
        ("config.json", "{}", "plain"),
    ],
)
def test_a_chat_template_is_found_where_models_have_it(
    folders: Path, file: str, text: str, template: str
) -> None:
    (folders / "llama" / file).write_text(text, "utf-8")
    (one,) = subjects(read_settings(), (), [f"base:m={folders / 'llama'}"])
    assert one.measured.template == template


def test_a_live_score_is_of_numbers_and_no_mean_of_log_likelihoods(tmp_path: Path) -> None:
    with closing(Progress(tmp_path / "progress.jsonl", [("m", "t")], 3)) as progress:
        progress.on("m", "t")
        progress.begin({"t": 4})
        for doc, right in enumerate((1.0, 0.0, math.nan, 1.0)):
            progress.scored("t", doc, {"perplexity": -3.0, "acc": right})
        progress.end("done")
    (score,) = live_scores(tmp_path)
    assert (score.metric, score.value.n) == ("acc", 3)
    assert score.value.value == pytest.approx(2 / 3)
