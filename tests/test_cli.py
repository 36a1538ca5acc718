"""`imitation-lab`: which command runs, what it says of itself, and what is not imported for it."""

import ast
import importlib
import subprocess
import sys
from contextvars import copy_context
from importlib.util import find_spec
from pathlib import Path

import pytest

from imitation import cli, doctor, installation
from imitation.commands import COMMANDS
from imitation.jobs import registry
from imitation.models.catalog import Catalog
from imitation.settings import Settings

ROOT = Path(__file__).parents[1]


def run(*argv: str) -> int:
    """The command line in a context of its own: what a command is run as stays in it."""
    return copy_context().run(cli.main, list(argv))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """The modules that are run, with their arguments, instead of running them."""
    calls: list[tuple[str, list[str]]] = []

    class Module:
        def __init__(self, name: str) -> None:
            self.name = name

        def main(self, argv: list[str] | None = None) -> int:
            calls.append((self.name, argv or []))
            return 7

    monkeypatch.setattr(cli.importlib, "import_module", Module)
    return calls


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_module_with_a_main(name: str) -> None:
    spec = find_spec(COMMANDS[name].module)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    (function,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main"]
    assert [arg.arg for arg in function.args.args] == ["argv"]
    assert ast.unparse(tree.body[-1]).startswith("if __name__ == '__main__'"), "thin"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_gets_what_follows_it_as_it_is(
    name: str, commands: list[tuple[str, list[str]]]
) -> None:
    argv = ["--out", "a b", "--help", "--", "-x", "import", "import=recorded"]
    assert run(*name.split(), *argv) == 7
    assert commands == [(COMMANDS[name].module, argv)]


def test_alone_it_opens_the_app(commands: list[tuple[str, list[str]]]) -> None:
    assert run() == 7
    assert commands == [("dashboards.app", [])]


def test_help_lists_every_command_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, command in COMMANDS.items():
        if " " not in name:
            assert f"{name} {command.about}" in shown
    assert run("import") == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("recorded", "results", "reviews"))


@pytest.mark.parametrize(
    ("argv", "nearest"),
    [
        (["evalute", "--models", "x"], "evaluate"),
        (["finetun"], "finetune"),
        (["import", "recoded"], "recorded"),
    ],
)
def test_a_misspelt_command_is_met_with_the_nearest(
    argv: list[str], nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv) == 2
    assert f'Did you mean "{nearest}"?' in capsys.readouterr().err


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert f'version = "{capsys.readouterr().out.split()[0]}"' in (
        ROOT / "pyproject.toml"
    ).read_text("utf-8")


def test_help_and_errors_show_what_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", "--help") == 0
    assert "Usage: imitation-lab generate" in capsys.readouterr().out
    assert run("generate", "--modle", "x") == 2
    said = capsys.readouterr().err
    assert said.startswith("imitation-lab generate: ") and "--model" in said
    by_module = importlib.import_module(COMMANDS["generate"].module)
    assert by_module.main(["--help"]) == 0
    assert "Usage: python -m imitation.jobs.commands.generate" in capsys.readouterr().out


def test_nothing_is_imported_but_the_command() -> None:
    code = (
        "import sys\n"
        "from imitation.cli import main\n"
        "assert main(['import', 'reviews', '--help']) == 0\n"
        "heavy = {'gradio', 'torch', 'transformers', 'lm_eval', 'plotly', 'openai', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'imitation.jobs.commands.evaluate' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_missing_library_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that the command looked for while it worked: some of its options need an extra."""

    def refuse(name: str) -> None:
        raise ModuleNotFoundError("No module named 'datasets'", name="datasets.load")

    monkeypatch.setattr(cli.importlib, "import_module", refuse)
    assert run("dataset", "--out", "x") == 2
    assert capsys.readouterr().err == (
        "imitation-lab: dataset needs datasets, which is not installed: "
        "pip install 'imitation-lab[eval]'\n"
    )


def test_the_sentence_is_for_the_last_error_of_a_program_only() -> None:
    line = "ModuleNotFoundError: No module named 'torch'\n"
    sentence = "a needs torch, which is not installed: pip install 'imitation-lab[train]'"
    assert installation.missing_in(f"Traceback:\n {line}\n", "a") == sentence
    assert installation.missing_in(f"{line}ValueError: 3\n", "a") == ""
    assert installation.missing_in("ModuleNotFoundError: No module named 'ours'", "a") == ""
    assert installation.missing_in("", "a") == ""


def test_a_command_line_is_shown_as_it_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = [sys.executable, "-m", "imitation.jobs.commands.evaluate", "--out", "a b"]
    assert registry.as_typed(argv).startswith(f"cd {registry.ROOT} && {sys.executable} -m ")
    monkeypatch.setattr(registry, "is_checkout", lambda: False)
    assert registry.as_typed(argv) == "imitation-lab evaluate --out 'a b'"
    assert registry.as_typed(argv[:3]) == "imitation-lab evaluate"
    unnamed = [sys.executable, "-m", "imitation.jobs.queue.worker"]
    assert registry.as_typed(unnamed).startswith("cd ")


@pytest.mark.parametrize(
    ("has_project", "version", "expected"),
    [
        (True, "", True),
        (True, "0.1.0", True),  # installed too, perhaps another version
        (False, "", True),  # copied into a container
        (False, "0.1.0", False),
    ],
)
def test_what_a_checkout_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_project: bool, version: str, expected: bool
) -> None:
    def installed(name: str) -> str:
        if not version:
            raise installation.PackageNotFoundError(name)
        return version

    project = tmp_path / "pyproject.toml"
    if has_project:
        project.write_text('[project]\nversion = "1.2.3"\n')
    monkeypatch.setattr(installation, "_PROJECT", project)
    monkeypatch.setattr(installation, "version", installed)
    assert installation.is_checkout() is expected
    name = "1.2.3 (a checkout)" if has_project else version or "unknown"
    assert installation.own_version() == name


def test_every_kind_of_job_is_a_command() -> None:
    modules = {command.module for command in COMMANDS.values()}
    assert {kind.module for kind in registry.KINDS.values()} <= modules


def settings_in(folder: Path, catalog: str = "") -> Settings:
    (folder / "models.toml").write_text(catalog)
    return Settings(
        data=folder / "data", cache=folder / "cache", catalogs=(folder / "models.toml",), cores=1
    )


def test_the_doctor_names_keys_and_never_shows_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    monkeypatch.setenv("SOME_KEY", "sk-verysecret")
    catalog = (
        '[[model]]\nid = "far"\nname = "Far"\nrole = "reference"\nbackend = "openai"\n'
        'endpoint = "http://127.0.0.1:9/v1"\nmodel = "m"\napi_key_env = "SOME_KEY"\n'
    )
    rows = list(doctor.findings(settings_in(tmp_path, catalog)))
    shown = doctor.table(rows)
    assert "verysecret" not in shown
    assert next(row.text for row in rows if row.name == "keys") == "set: SOME_KEY, HF_TOKEN"
    far = next(row for row in rows if row.name == "far")
    assert far.verdict == "note" and "127.0.0.1:9" in far.text
    assert len(shown.splitlines()) == len(rows)


def test_the_doctor_tells_what_keeps_the_page_from_working(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    broken = settings_in(tmp_path, "[[model]]\nid = 3\n")
    settings = Settings(tmp_path / "file", tmp_path / "cache", broken.catalogs, cores=1)
    rows = [*doctor.folders(settings), *doctor.models(settings, _catalog(settings))]
    problems = {row.name: row.text for row in rows if row.verdict == "problem"}
    assert problems.keys() == {"data folder", "catalog"}
    assert "IMITATION_DATA" in problems["data folder"]
    assert next(row for row in rows if row.name == "cache folder").text.endswith(" GB free")
    assert not (tmp_path / "cache").exists(), "nothing is made"


def _catalog(settings: Settings) -> Catalog:
    return doctor.load_catalog(settings.catalogs)


def test_the_doctor_sees_a_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with doctor.socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        monkeypatch.setenv("GRADIO_SERVER_PORT", str(number))
        assert doctor.port().verdict == "problem"
    assert doctor.port() == doctor.Finding("port", f"{number} is free")


def test_settings_that_cannot_be_read_are_the_doctors_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMITATION_CORES", "many")
    assert run("doctor") == 1
    assert "PROBLEM settings" in capsys.readouterr().out
    assert run("doctor", "--help") == 0
    assert "Usage: imitation-lab doctor" in capsys.readouterr().out
