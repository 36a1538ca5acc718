"""Every file of examples/ does what it says; those that take long are slow tests."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imitation.models.catalog import load_catalog
from tests.test_docs import live_app  # noqa: F401  a fixture

EXAMPLES = Path(__file__).parents[1] / "examples"
CARDS = sorted((EXAMPLES / "cards").glob("*.toml"))
NOTEBOOK = EXAMPLES / "read_report.ipynb"


def run(script: str, *arguments: object, **environment: str) -> str:
    """What an example prints."""
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *map(str, arguments)],
        cwd=EXAMPLES.parent,
        env=os.environ | {"PYTHONPATH": str(EXAMPLES.parent), "HF_HUB_OFFLINE": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_listed_and_no_other():
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    assert files
    assert all(f"| `{name}` |" in listed for name in files)
    assert listed.count("\n| `") == len(files) + 1  # and the folder of cards


def test_there_is_a_card_for_each_server():
    names = {path.stem for path in CARDS}
    assert names == {"tgi", "vllm", "llama_cpp", "openai", "hf_providers", "transformers_serve"}


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)
def test_the_catalog_takes_the_card(card, tmp_path):
    catalog = load_catalog([card])
    assert not catalog.problems and not catalog.broken
    assert {spec.backend for spec in catalog.values()} <= {"openai", "tgi"}
    for spec in catalog.values():
        if spec.role == "imitation":
            assert catalog[spec.base].role == "base"
            assert (spec.endpoint, spec.prompt_format) == (
                catalog[spec.base].endpoint,
                catalog[spec.base].prompt_format,
            )


def test_all_cards_go_into_one_catalog(tmp_path):
    together = tmp_path / "models.toml"
    together.write_text("\n".join(path.read_text("utf-8") for path in CARDS))
    assert not load_catalog([together]).problems


def cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert notebook["nbformat"] == 4
    assert all(not cell.get("outputs") for cell in notebook["cells"]), "outputs are left out"
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def test_the_notebook_runs_and_says_what_the_report_says():
    """Its cells one after the other, without Jupyter."""
    printed = io.StringIO()
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(printed):
        for source in cells():
            exec(compile(source, NOTEBOOK.name, "exec"), names)
    text = printed.getvalue()
    report = names["report"]
    assert all(f"{score.value.value:.3f}" in text for score in report.scores)
    (local,) = [gap for gap in report.gaps if gap.imitation == "pocket-local"]
    assert f"pocket-local closes {local.closed.value:.0%}" in text
    assert "  reference: " in text and "  imitation: " in text


@pytest.mark.slow
@pytest.mark.parametrize("script", ["api_client.py", "api_http.py"])
def test_the_api_examples_ask_the_app(script, live_app):  # noqa: F811
    printed = run(script, live_app)
    assert "pocket-reference: reference" in printed
    assert "pocket-base (done): " in printed
    assert "pocket-reference (done): " in printed


@pytest.mark.slow
def test_the_fine_tune_learns_and_leaves_an_adapter(tmp_path, pocket_settings):
    """On four short conversations."""
    rows = [
        {"messages": [{"role": "user", "content": f"Say {word}."},
                      {"role": "assistant", "content": word}]}
        for word in ("yes", "no", "tea", "sun")
    ]  # fmt: skip
    data, out = tmp_path / "answers.jsonl", tmp_path / "run"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    printed = run("finetune.py", data, out, IMITATION_CACHE=str(pocket_settings.cache))
    assert "conversations learned" in printed
    assert (out / "checkpoint" / "adapter_config.json").is_file()
    events = [json.loads(line)["event"] for line in (out / "progress.jsonl").open()]
    assert "step" in events


def test_the_fine_tune_is_short():
    source = (EXAMPLES / "finetune.py").read_text("utf-8")
    _, _, body = source.partition('"""\n')
    lines = body.partition('"""\n')[2].splitlines()
    assert len([line for line in lines if line.strip()]) <= 20
