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
    "imitation.disk": 1,
    "imitation.settings": 1,
    "imitation.prompts": 1,
    "imitation.facts": 1,
    "imitation.reading": 1,
    "imitation.spreadsheet": 1,
    "imitation.events": 2,
    "imitation.storage": 2,
    "imitation.models": 2,
    "imitation.data": 2,
    "imitation.evaluation": 3,
    "imitation.jobs": 4,
    "training": 5,
    "dashboards": 6,
    "app": 7,
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


def test_only_the_query_file_and_actions_of_the_dashboards_read_the_store() -> None:
    allowed = ("dashboards.queries", "dashboards.actions", "dashboards.pages", "dashboards.context")
    allowed += ("dashboards.compare_view", "dashboards.recorded_view")  # their types
    for module, path in modules():
        if module.startswith("dashboards") and not module.startswith(allowed):
            assert not [n for n in imported(path) if n.startswith("imitation.storage")], module


def test_figures_know_neither_gradio_nor_the_store() -> None:
    for module, path in modules():
        if module.startswith("dashboards.figures"):
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
        "assert 'xllamacpp' not in sys.modules\n"
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
