"""IMITATION_JOBS=0: every action that starts or fetches something refuses, and changes nothing."""

import ast
from pathlib import Path

import pytest

import dashboards
from dashboards.data import answers, sources
from dashboards.data import new_dataset as data
from dashboards.evaluate import new_run as evaluate
from dashboards.evaluate.runs import Evaluations
from dashboards.finetune import new_run as finetune
from dashboards.finetune import preflight, publish, runs
from dashboards.recorded import actions as recorded
from dashboards.shell import owned_jobs
from dashboards.votes import judges
from imitation.data.sources.load import Source
from imitation.errors import UserError
from imitation.jobs.commands.generate import Generate

DASHBOARDS = Path(dashboards.__file__).parent
STARTS = {"submit", "resume", "fetch", "snapshot_download", "load_adapter", "Popen"}
"""What starts a job or a process, fetches from elsewhere, or loads into a server."""
ME = "a" * 64
ANY = Generate(model="m", out="x", facts="train")
HUB = Source("x", "hub:a/b")
TUNE = finetune.Form("one", "pocket-broad", "pocket-base", str(sources.SHIPPED / "broad.jsonl"))
RUN = evaluate.Form("one", ("pocket-base",), ())
ASK = answers.Form("generate", "pocket-reference", answers.FACTS, "one")
CALLS = {
    "finetune.publish.push": lambda c: publish.push(c, "x", ME, "a/b", False),
    "finetune.publish.serve": lambda c: publish.serve(c, "x", ME, "x", ""),
    "data.answers.resume": lambda c: answers.resume(c, "x", ME),
    "data.answers.start": lambda c: answers.start(c, ASK, ME),
    "data.new_dataset.start": lambda c: data.start(c, data.Form("one", (HUB,)), ME),
    "evaluate.new_run.import_results": lambda c: evaluate.import_results(c, ME, "one", (), ""),
    "evaluate.new_run.start": lambda c: evaluate.start(
        c, evaluate.Form("one", ("pocket-base",), ()), ME
    ),
    "evaluate.new_run.write_index": lambda c: evaluate.write_index(c, ME),
    "evaluate.runs.resume": lambda c: Evaluations(c).resume("x", ME),
    "finetune.new_run.start": lambda c: finetune.start(c, TUNE, ME),
    "votes.judges.resume": lambda c: judges.resume(c, ME, "x"),
    "votes.judges.start": lambda c: judges.start(c, ME, None),
    "finetune.preflight.start": lambda c: preflight.start(c, "estimate", TUNE, ME),
    "recorded.actions.import_mt_bench": lambda c: recorded.import_mt_bench(c.db, c.settings, ME),
    "finetune.runs.resume": lambda c: runs.Runs(c).resume("x", ME),
    "finetune.runs.retry": lambda c: runs.Runs(c).retry("x", ME),
    "data.sources.start_hub_preview": lambda c: sources.start_hub_preview(c, HUB, ME),
    "shell.owned_jobs.resume": lambda c: owned_jobs.OwnedJobs(c, "generate").resume("x", ME),
    "shell.owned_jobs.submit": lambda c: owned_jobs.submit(c, "generate", ANY, "x", ME),
}


def that_start() -> set[str]:
    """module.function of all public actions from which something that starts is reached."""
    calls: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for path in DASHBOARDS.rglob("*.py"):
        if path.stem.endswith(("page", "form", "routes")):
            continue
        own = ".".join(path.relative_to(DASHBOARDS).with_suffix("").parts)
        tree = ast.parse(path.read_text("utf-8"))
        origin = {
            alias.asname or alias.name: (node.module.removeprefix("dashboards."), alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found = calls.setdefault((own, node.name), set())
                for one in ast.walk(node):
                    if isinstance(one, ast.Call):
                        name = getattr(one.func, "attr", getattr(one.func, "id", ""))
                        found.add(origin.get(name, (own, name)))
    reached = {key for key, names in calls.items() if STARTS & {name for _, name in names}}
    while more := {key for key, names in calls.items() if names & reached} - reached:
        reached |= more
    return {f"{module}.{name}" for module, name in reached if name[0] != "_"}


def test_every_action_that_starts_something_is_in_the_list():
    assert that_start() == set(CALLS)


@pytest.fixture
def environment(tmp_path):
    return {"IMITATION_CACHE": str(tmp_path / "cache"), "IMITATION_JOBS": "0"}


def tree(settings):
    ours = (settings.data, settings.cache)
    return {path for place in ours for path in place.rglob("*") if "sqlite" not in path.name}


@pytest.mark.parametrize("action", sorted(CALLS))
def test_nothing_is_started_or_made(context, action):
    before = tree(context.settings)
    with pytest.raises(UserError, match="IMITATION_JOBS=0"):
        CALLS[action](context)
    assert tree(context.settings) == before
    assert context.jobs.look() == []
