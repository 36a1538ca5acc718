"""What the documentation says is true: files, settings, commands, formulas' places, messages."""

import ast
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
import yaml

from imitation.models.catalog import load_catalog
from imitation.settings import PREFIX, Settings, read_settings

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))
import generate  # noqa: E402

PAGES = ["README.md", "CONTRIBUTING.md", "deploy/README.md", "examples/README.md"]
PAGES += sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
DOCS = {path: (ROOT / path).read_text("utf-8") for path in PAGES}
README = DOCS["README.md"]
CONFIGURATION = DOCS["docs/setup/configuration.md"]


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS[document], re.M | re.S)


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
    documented = re.findall(rf"^\| `({PREFIX}\w+)`", CONFIGURATION, re.M)
    assert set(documented) == {name for name in spy.asked if name.startswith(PREFIX)}
    assert len(documented) == len(set(documented))
    mentioned = {name for text in DOCS.values() for name in re.findall(rf"{PREFIX}\w+", text)}
    assert mentioned <= spy.asked


def test_documented_defaults_are_the_real_ones():
    settings = read_settings({})
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", CONFIGURATION, re.M))
    assert float(rows["IMITATION_ENGINE_IDLE_S"]) == settings.idle_s
    assert float(rows["IMITATION_TIMEOUT_S"]) == settings.timeout_s
    if sys.platform == "linux" and "XDG_CACHE_HOME" not in os.environ:
        assert f"`~/{settings.cache.relative_to(Path.home())}`" in rows["IMITATION_CACHE"]
    if sys.platform == "linux" and "XDG_DATA_HOME" not in os.environ:
        assert f"`~/{settings.data.relative_to(Path.home())}`" in rows["IMITATION_DATA"]


def test_the_readme_is_a_screen_and_a_half():
    _, _, text = README.split("---\n", 2)
    assert len(text.splitlines()) <= 75
    assert "docs/images/compare.png" in text
    assert "make demo" in text and "make test" in text
    for route in ("compare", "votes", "recorded", "gaps", "story", "data", "finetune", "evaluate"):
        assert f"(docs/pages/{route}.md)" in text


def slugs(document):
    """Names that a link may have after its #: of headings, and those given to places by hand."""
    text = re.sub(r"^```.*?^```", "", DOCS[document], flags=re.M | re.S)
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    named = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}
    return named | set(re.findall(r"^\(([\w-]+)\)=$", text, re.M))


@pytest.mark.parametrize("document", DOCS)
def test_links_lead_to_files_and_headings(document):
    folder = (ROOT / document).parent
    text = re.sub(r"^```.*?^```", "", DOCS[document], flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else (ROOT / document)
        assert file.exists(), f"{document}: {target}"
        if anchor:
            assert anchor in slugs(file.relative_to(ROOT).as_posix()), f"{document}: {target}"


@pytest.mark.parametrize("document", [page for page in DOCS if page.startswith("docs/")])
def test_every_page_is_in_a_table_of_contents(document):
    if document == "docs/index.md":
        return
    entries = set()
    for page, text in DOCS.items():
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.M | re.S):
            lines = [line for line in tree.splitlines() if line and not line.startswith(":")]
            entries |= {((ROOT / page).parent / f"{line}.md").resolve() for line in lines}
    assert (ROOT / document).resolve() in entries


@pytest.mark.parametrize("document", DOCS)
def test_paths_in_backticks_exist(document):
    """`folder/file.py` names a file here; `NAME` in it is a placeholder."""
    for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", DOCS[document]):
        known = ROOT / path.partition("NAME")[0]
        if (ROOT / path.split("/")[0]).is_dir() and "adapters" not in path:
            assert known.exists(), f"{document}: {path}"


def top_level_names(path):
    """What a module defines at its top, and the methods of its classes as Class.method."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield node.name
            yield from (
                f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)
            )
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (t.id for t in targets if isinstance(t, ast.Name))


def test_names_of_code_are_of_code():
    """`imitation.module.function` is a module of ours, with that at its top level."""
    seen = 0
    for document, text in DOCS.items():
        for dotted in re.findall(r"`((?:imitation|training|dashboards)(?:\.\w+)+)`", text):
            if dotted.endswith((".json", ".jsonl", ".toml")):
                continue
            parts = dotted.split(".")
            ends = range(len(parts), 0, -1)
            module = next((n for n in ends if (ROOT / Path(*parts[:n])).is_dir()), 0)
            end = next(
                (n for n in ends if (ROOT / Path(*parts[:n])).with_suffix(".py").is_file()), module
            )
            assert end > 1, f"{document}: {dotted}"
            rest = ".".join(parts[end:])
            path = (ROOT / Path(*parts[:end])).with_suffix(".py")
            if rest:
                assert rest in set(top_level_names(path)), f"{document}: {dotted}"
            seen += 1
    assert seen > 60


def test_every_definition_has_a_formula_or_words_a_source_or_a_place():
    """Under each heading of the science: where it is computed."""
    for document, text in DOCS.items():
        if not document.startswith("docs/science/") or document.endswith("index.md"):
            continue
        for section in re.split(r"^## ", text, flags=re.M)[1:]:
            title, _, body = section.partition("\n")
            assert re.search(r"Computed (?:by|in)|put\ntogether by|is put together by", body), title


@pytest.mark.parametrize("document", DOCS)
def test_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"(?:`|^)make ([a-z][a-z -]*)", DOCS[document], re.M)
    used = {word for words in named for word in words.split()}
    assert used <= targets, used - targets


def test_catalog_examples_are_valid(tmp_path):
    examples = blocks("docs/setup/models.md", "toml")
    assert len(examples) >= 3
    catalog = tmp_path / "models.toml"
    catalog.write_text("\n".join(examples))
    cards = load_catalog([catalog])
    assert {card.backend for card in cards.values()} == {"tgi", "openai"}
    assert {card.role for card in cards.values()} == {"base", "imitation", "reference"}


@pytest.mark.parametrize("document", [page for page in DOCS if blocks(page, "toml")])
def test_all_cards_shown_are_valid(document, tmp_path):
    catalog = tmp_path / "models.toml"
    catalog.write_text("\n".join(blocks(document, "toml")))
    assert not load_catalog([catalog]).problems


def test_the_shipped_examples_are_valid_when_uncommented(tmp_path):
    text = (ROOT / "imitation/models/models.toml").read_text()
    examples = text[text.index("Ready examples") :]
    lines = [line[2:] for line in examples.splitlines() if re.match(r"# (\[\[|\w+ = )", line)]
    catalog = tmp_path / "models.toml"
    catalog.write_text("\n".join(lines))
    assert len(load_catalog([catalog])) >= 5


@pytest.mark.parametrize("document", ["docs/pages/recorded.md", "docs/tutorials/blind-study.md",
                                      "docs/tutorials/replicate-table-2.md"])  # fmt: skip
def test_the_recorded_example_is_read(document, tmp_path):
    file = tmp_path / "recorded.jsonl"
    file.write_text(blocks(document, "json")[0])
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


@cache
def commands() -> tuple[tuple[str, str], ...]:
    """(module, options) of each documented command line, typed either way."""
    found = set()
    for text in DOCS.values():
        for line in re.findall(r"python -m ((?:imitation|training)\.[^\n`;]*)", text):
            module, _, options = line.partition(" ")
            found.add((module.rstrip("."), options))
        for line in re.findall(r"imitation-lab ([a-z][^\n`;]*)", text):
            name = command_name(line)
            if name:
                found.add((generate.COMMANDS[name].module, line[len(name) :].strip()))
    return tuple(sorted(found))


def command_name(line):
    return next((n for n in sorted(generate.COMMANDS, key=len, reverse=True)
                 if re.match(rf"{n}(?![\w-])", line)), "")  # fmt: skip


def test_commands_shown_in_blocks_are_commands():
    known = [*generate.COMMANDS, "NAME"]
    for document, text in DOCS.items():
        for block in re.findall(r"^```\n(.*?)^```", text, re.M | re.S):
            for line in re.findall(r"^imitation-lab (.*)$", block, re.M):
                assert any(re.match(rf"{name}\b", line) for name in known), f"{document}: {line}"


def typed_commands() -> Iterator[tuple[str, str]]:
    return ((m, o) for m, o in commands() if generate.parameters_class(m) is not None)


def test_documented_options_are_fields_of_the_parameters():
    seen = 0
    for module, options in typed_commands():
        kind = generate.parameters_class(module)
        known = {generate.option(name) for name in kind.model_fields} | {"--help"}
        switches = [n for n, f in kind.model_fields.items() if f.annotation is bool]
        known |= {"--no-" + name.replace("_", "-") for name in switches}
        used = {option.partition("=")[0] for option in re.findall(r"--[a-z-]+", options)}
        assert used <= known, f"{module} {options}: {used - known}"
        seen += 1
    assert seen > 20


@pytest.mark.parametrize("document", [page for page in DOCS if "tutorials" in page])
def test_commands_of_the_tutorials_are_whole(document):
    """Nothing that a command must be told is missing; values are read as they will be."""
    for block in re.findall(r"^```\n(.*?)^```", DOCS[document], re.M | re.S):
        for line in re.findall(r"^imitation-lab (.*)$", block, re.M):
            name = command_name(line)
            kind = generate.parameters_class(generate.COMMANDS[name].module)
            if kind is None:
                continue
            words = shlex.split(line[len(name) :])
            given = {word[2:].replace("-", "_") for word in words if word.startswith("--")}
            required = {n for n, field in kind.model_fields.items() if field.is_required()}
            assert required - {kind.positional} <= given, line


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted({module for module, _ in commands()}))
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
    for other, options in commands():
        if other == module:
            used = set(re.findall(r"--[a-z-]+", options))
            assert used <= set(re.findall(r"--[a-z-]+", shown.stdout)), options


def test_generated_parts_are_those_there_are():
    asked_for = {name for text in DOCS.values() for name in re.findall(r"generated: (\w+)", text)}
    assert asked_for == set(generate.PARTS)


def test_the_command_reference_has_every_option():
    text = generate.commands()
    for name, command in generate.COMMANDS.items():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert f"`imitation-lab {name}`" in section
        kind = generate.parameters_class(command.module)
        for field in kind.model_fields if kind else ():
            shown = field.upper() if field == kind.positional else generate.option(field)
            assert f"| `{shown}` |" in section, f"{name}: {field}"


def test_every_hyperparameter_is_in_the_table():
    from training.config import TrainingConfig, to_table

    text = generate.hyperparameters()
    for key in to_table(TrainingConfig()):
        assert f"`{key}`" in text, key


@cache
def sentences() -> tuple[str, ...]:
    """Every text in the code, with "…" for each value that is put into it."""
    found = []
    for top in ("app.py", "imitation", "training", "dashboards"):
        path = ROOT / top
        for file in [path] if path.is_file() else path.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [getattr(part, "value", "") for part in node.values]
                    found.append("".join(p if isinstance(p, str) else "…" for p in parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return tuple(found)


def test_quoted_messages_are_in_the_code():
    quoted = re.findall(r"^> (.*)$", DOCS["docs/troubleshooting.md"], re.M)
    assert len(quoted) > 30
    missing = [q for q in quoted if not any(q.strip() in text for text in sentences())]
    assert not missing


def test_what_builds_the_documentation_is_named_alike():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra = {re.split(r"[=<>]", name)[0] for name in project["optional-dependencies"]["docs"]}
    pins = (ROOT / "docs/requirements.txt").read_text("utf-8")
    assert extra == set(re.findall(r"^([\w-]+)==", pins, re.M))


@pytest.mark.slow
def test_the_documentation_builds_without_warnings(tmp_path):
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-q", "docs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    pages = {path: path.read_text("utf-8") for path in tmp_path.rglob("*.html")}
    assert len(pages) > 40
    for path, text in pages.items():
        fetched = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]+)', text)
        assert not fetched, f"{path.name} needs a network: {fetched}"
    formulas = pages[tmp_path / "science" / "statistics.html"]
    assert formulas.count("<math") > 5
    assert "--concurrency" in pages[tmp_path / "reference" / "commands.html"]


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
    (snippet,) = blocks("docs/setup/api.md", "python")
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
