"""Imports go one way, and the page's process stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A package may import those of a lower rank; siblings (equal rank) don't import each other.
RANKS = {
    "imitation.values": 0,
    "imitation.errors": 0,
    "imitation.text": 0,
    "imitation.names": 1,
    "imitation.disk": 1,
    "imitation.settings": 1,
    "imitation.prompts": 1,
    "imitation.facts": 1,
    "imitation.reading": 1,
    "imitation.spreadsheet": 1,
    "imitation.published": 1,
    "imitation.validation": 1,
    "imitation.commands": 1,
    "imitation.installation": 2,
    "imitation.events": 2,
    "imitation.storage": 2,
    "imitation.models": 2,
    "imitation.data": 2,
    "imitation.evaluation": 3,
    "imitation.jobs": 4,
    "imitation.doctor": 5,
    "imitation.cli": 5,
    "training": 5,
    "dashboards.shell": 6,
    "dashboards.paper": 7,
    # Slices: one folder a page. They share shell and paper, and know nothing of each other.
    **{
        f"dashboards.{folder.name}": 8
        for folder in (ROOT / "dashboards").iterdir()
        if (folder / "page.py").is_file()
    },
    "dashboards.routes": 9,
    "dashboards.app": 10,
    "app": 11,
}
# Inside these, folders have an order too: a folder may import those before it.
ORDER = {
    "imitation.models": ("http", "backends", "embedded"),
    "imitation.data": ("sources", "steps"),
    "imitation.evaluation": ("statistics", "metrics", "sandbox", "judging", "harness", "report"),
    "imitation.jobs": ("queue", "commands"),
}
HEAVY = {"torch", "transformers", "peft", "accelerate", "lm_eval", "datasets", "trackio"}


def part(module: str) -> str | None:
    """The ranked part a module belongs to, None for modules that are not ours."""
    names = [name for name in RANKS if module == name or module.startswith(name + ".")]
    return max(names, key=len, default=None)


def modules() -> Iterator[tuple[str, Path]]:
    for top in ("imitation", "training", "dashboards"):
        for path in (ROOT / top).rglob("*.py"):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path
    yield "app", ROOT / "app.py"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda v: str(v)[-40:])
def test_imports_go_one_way(module: str, path: Path) -> None:
    own = part(module)
    if own is None:  # package docstrings
        return
    for name in imported(path):
        other = part(name)
        if other is None or other == own:
            continue
        assert RANKS[other] < RANKS[own], f"{module} ({own}) imports {name} ({other})"


@pytest.mark.parametrize("package", ORDER)
def test_folders_of_a_package_import_those_before_them(package: str) -> None:
    order = ORDER[package]
    folders = {path.name for path in (ROOT / package.replace(".", "/")).iterdir() if path.is_dir()}
    assert set(order) <= folders
    for number, folder in enumerate(order):
        for module, path in modules():
            if not module.startswith(f"{package}.{folder}."):
                continue
            later = [f"{package}.{name}" for name in order[number + 1 :]]
            wrong = [n for n in imported(path) if n.startswith(tuple(later))]
            assert not wrong, f"{module} imports {wrong}"


def test_every_folder_of_the_dashboards_is_a_page_or_shared() -> None:
    for folder in (ROOT / "dashboards").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert f"dashboards.{folder.name}" in RANKS, f"{folder} has no page.py"


def test_only_pages_and_forms_import_gradio() -> None:
    """Actions, views and figures are functions of values: they are tested without a browser."""
    for module, path in modules():
        slice_, _, name = module.removeprefix("dashboards.").partition(".")
        if not module.startswith("dashboards.") or slice_ == "shell" or not name:
            continue
        if not name.endswith(("page", "form")):
            assert "gradio" not in {n.split(".")[0] for n in imported(path)}, module


def test_views_and_figures_do_not_read_the_store() -> None:
    """They get values; `imitation.storage.database` is for actions, `shell` and pages."""
    for module, path in modules():
        if module.startswith("dashboards.") and module.endswith(("view", "figures")):
            assert "imitation.storage.database" not in set(imported(path)), module


def test_figures_know_neither_gradio_nor_the_store() -> None:
    for module, path in modules():
        if module.startswith("dashboards.shell.figures") or module.endswith("figures"):
            names = {name.split(".")[0] for name in imported(path)}
            assert "gradio" not in names, module
            assert not [n for n in imported(path) if n.startswith("imitation.storage")], module


def test_the_page_imports_no_training_library_and_starts_nothing() -> None:
    code = (
        "import sys, threading, app\n"
        "from imitation.settings import read_settings\n"
        "before = threading.active_count()\n"
        f"heavy = sorted(set(sys.modules) & {HEAVY!r})\n"
        "assert not heavy, heavy\n"
        "slow = {'xllamacpp', 'openai', 'plotly.graph_objects'} & set(sys.modules)\n"
        "assert not slow, slow\n"
        "assert before == 1, threading.enumerate()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_building_the_pages_imports_no_training_library(tmp_path: Path) -> None:
    code = (
        "import sys, app\n"
        "from imitation.settings import read_settings\n"
        f"env = {{'IMITATION_DATA': {str(tmp_path)!r}, 'IMITATION_CACHE': {str(tmp_path)!r}}}\n"
        "demo, context = app.build(read_settings(env))\n"
        "context.backends['embedded'], context.backends['openai'], context.backends['tgi']\n"
        f"heavy = sorted(set(sys.modules) & {HEAVY!r})\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
