"""What the documentation says is true: files, settings, commands, examples, snippets."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from imitation.models.catalog import load_catalog
from imitation.settings import PREFIX, Settings, read_settings

ROOT = Path(__file__).parents[1]
DOCS = {path: (ROOT / path).read_text() for path in ("README.md", "CONTRIBUTING.md")}
DOCS["deploy/README.md"] = (ROOT / "deploy/README.md").read_text()
README = DOCS["README.md"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


class Spy(Mapping):
    """An empty environment that notes what is asked of it."""

    def __init__(self):
        self.asked = set()

    def __getitem__(self, key):
        self.asked.add(key)
        raise KeyError(key)

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


def test_every_setting_is_documented_and_no_other():
    spy = Spy()
    read_settings(spy)
    documented = re.findall(rf"^\| `({PREFIX}\w+)`", README, re.M)
    assert set(documented) == {name for name in spy.asked if name.startswith(PREFIX)}
    assert len(documented) == len(set(documented))
    mentioned = {name for text in DOCS.values() for name in re.findall(rf"{PREFIX}\w+", text)}
    assert mentioned <= spy.asked


def test_documented_defaults_are_the_real_ones():
    settings = read_settings({})
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", README, re.M))
    assert float(rows["IMITATION_ENGINE_IDLE_S"]) == settings.idle_s
    assert float(rows["IMITATION_TIMEOUT_S"]) == settings.timeout_s
    if sys.platform == "linux" and "XDG_CACHE_HOME" not in os.environ:
        assert f"`~/{settings.cache.relative_to(Path.home())}`" in rows["IMITATION_CACHE"]
    if sys.platform == "linux" and "XDG_DATA_HOME" not in os.environ:
        assert f"`~/{settings.data.relative_to(Path.home())}`" in rows["IMITATION_DATA"]


@pytest.mark.parametrize("document", DOCS)
def test_links_lead_to_files_and_headings(document):
    folder = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCS[document]):
        if target.startswith("#"):
            headings = re.findall(r"^#+ (.*)$", DOCS[document], re.M)
            slugs = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in headings}
            assert target[1:] in slugs, target
        elif "://" not in target:
            assert (folder / target).exists(), f"{document}: {target}"


@pytest.mark.parametrize("document", DOCS)
def test_paths_in_backticks_exist(document):
    """`folder/file.py` names a file here; `NAME` in it is a placeholder."""
    for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", DOCS[document]):
        known = ROOT / path.partition("NAME")[0]
        if (ROOT / path.split("/")[0]).is_dir() and "adapters" not in path:
            assert known.exists(), f"{document}: {path}"


@pytest.mark.parametrize("document", DOCS)
def test_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"(?:`|^)make ([a-z][a-z -]*)", DOCS[document], re.M)
    used = {word for words in named for word in words.split()}
    assert used <= targets, used - targets


def test_catalog_examples_are_valid(tmp_path):
    examples = blocks("toml")
    assert len(examples) >= 3
    catalog = tmp_path / "models.toml"
    catalog.write_text("\n".join(examples))
    cards = load_catalog([catalog])
    assert {card.backend for card in cards.values()} == {"tgi", "openai"}
    assert {card.role for card in cards.values()} == {"base", "imitation", "reference"}


def test_the_shipped_examples_are_valid_when_uncommented(tmp_path):
    text = (ROOT / "imitation/models/models.toml").read_text()
    examples = text[text.index("Ready examples") :]
    lines = [line[2:] for line in examples.splitlines() if re.match(r"# (\[\[|\w+ = )", line)]
    catalog = tmp_path / "models.toml"
    catalog.write_text("\n".join(lines))
    assert len(load_catalog([catalog])) >= 5


def test_the_recorded_example_is_read(tmp_path):
    file = tmp_path / "recorded.jsonl"
    file.write_text(blocks("json")[0])
    options = ["--answers", str(file), "--reference-model", "reference", "--json"]
    result = subprocess.run(
        [sys.executable, "-m", "imitation.jobs.commands.import_recorded", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert '"my-model"' in result.stdout


def test_the_front_matter_makes_it_a_space():
    _, text, _ = README.split("---\n", 2)
    front = yaml.safe_load(text)
    exposed = re.search(r"^EXPOSE (\d+)$", (ROOT / "Dockerfile").read_text(), re.M)[1]
    assert (front["sdk"], front["app_port"]) == ("docker", int(exposed))
    assert len(front["short_description"]) <= 60
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colours


def commands():
    """Each documented `python -m module --option ...` line."""
    found = {
        line
        for text in DOCS.values()
        for line in re.findall(r"python -m ((?:imitation|training)\.[^\n`]*)", text)
    }
    return sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted({line.split()[0] for line in commands()}))
def test_documented_commands_know_their_options(module):
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert shown.returncode == 0, shown.stderr
    for line in commands():
        if line.split()[0] == module:
            used = set(re.findall(r"--[a-z-]+", line))
            assert used <= set(re.findall(r"--[a-z-]+", shown.stdout)), line


@pytest.fixture(scope="module")
def live_app(pocket_settings: Settings, tmp_path_factory):
    """`python app.py` as a process of its own; yields its address."""
    folder = tmp_path_factory.mktemp("live")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    env = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "IMITATION_CACHE": str(pocket_settings.cache),
        "IMITATION_DATA": str(folder / "data"),
    }
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(url, timeout=10).close()
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_the_snippet_runs_against_the_app(live_app):
    (snippet,) = blocks("python")
    assert "http://127.0.0.1:7860" in snippet
    result = subprocess.run(
        [sys.executable, "-c", snippet.replace("http://127.0.0.1:7860", live_app)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "pocket-reference reference" in result.stdout
    assert "pocket-base done" in result.stdout
    assert "pocket-reference done" in result.stdout
    assert re.search(r"\d{2,} published values", result.stdout)
