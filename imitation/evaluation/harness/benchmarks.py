"""One model on one task or group, by lm-eval, into lm-eval's own result files.

lm-eval builds the prompts, computes the metrics and names the results; asking is ours, so that
answers are kept one by one (a resumed run asks none twice), several are asked at once, and a
sample that fails is missing instead of wrong. Imported in job processes only: lm-eval comes with
torch.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from imitation.errors import UserError
from imitation.evaluation.harness.model_runners import ModelRunner
from imitation.evaluation.harness.response_cache import ResponseCache
from imitation.evaluation.harness.suites import OURS, SHOTS, TASKS, check_names

SEED = 1234
"""lm-eval's own seed of few-shot examples."""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How a task is run.

    Attributes:
        shots: Examples in the prompt, None for the task's own number.
        limit: Samples of each task at most, None for all.
        seed: Of few-shot examples.
        more_tasks: Folders with further task files.
    """

    shots: int | None = None
    limit: int | None = None
    seed: int = SEED
    more_tasks: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskRun:
    """What came of one model on one task.

    Attributes:
        results: lm-eval's results with our part under "lab"; None where no sample was answered.
        missing: Task -> document number -> why it has no answer.
        asked: Task -> samples there were to answer.
    """

    results: dict[str, Any] | None
    missing: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)


class Listener(Protocol):
    """Hears of every scored sample while a task runs."""

    def begin(self, asked: Mapping[str, int]) -> None:
        """Samples there are to answer, by task."""

    def scored(self, task: str, doc: int, metrics: Mapping[str, Any]) -> None:
        """One sample has its answers and these metrics."""


def manager(names: Sequence[str], more: Sequence[Path] = ()) -> Any:
    """lm-eval's task manager for these names; lists its thousands of tasks only if it must.

    Raises:
        UserError: There are no such tasks; the nearest names are offered.
    """
    from lm_eval.tasks import TaskManager

    folders = [str(TASKS), *map(str, more)]
    own = TaskManager(include_path=folders, include_defaults=False)
    if not more and set(names) <= set(OURS):
        return own
    if set(names) <= set(own.all_tasks):
        return own
    every = TaskManager(include_path=folders)
    check_names(names, every.all_tasks)
    return every


def expand_tags(names: Sequence[str], tasks: Any) -> list[str]:
    """Names with each tag replaced by its tasks, each once; `tasks` is a manager."""
    found: list[str] = []
    for name in names:
        entry = tasks.task_index.get(name)
        tag = entry is not None and entry.kind.name == "TAG"
        found += sorted(entry.tags) if tag else [name]
    return list(dict.fromkeys(found))


def run(
    task: str, asker: ModelRunner, answers: ResponseCache, asking: TaskOptions, listener: Listener
) -> TaskRun:
    """Ask one model the samples of one task or group, and score what came.

    Raises:
        UserError: The model cannot do this kind of task, the task doesn't exist, or its data
            cannot be had.
    """
    from lm_eval.evaluator import evaluate

    from imitation.evaluation.harness.cached_lm import CachedLM

    loaded = _load(task, asking)
    tasks: dict[str, Any] = loaded["tasks"]
    chat = asker.template != "plain"
    scorer = _Scorer(tasks, listener)
    lm = CachedLM(asker, answers, scorer.heard)
    _build(tasks, lm, asking, chat)
    requests = _by_kind(tasks)
    asked = {name: len({one.doc_id for one in t.instances}) for name, t in tasks.items()}
    scorer.requests = {name: _by_doc(t.instances) for name, t in tasks.items()}
    listener.begin(asked)
    for kind, rows in requests.items():
        lm.fill(kind, rows)
    missing: dict[str, dict[int, str]] = defaultdict(dict)
    for (name, doc), reason in lm.failed.items():
        missing[name][doc] = reason
    chosen = _keep_answered(loaded, missing)
    if not loaded["tasks"]:
        return TaskRun(None, missing, asked)
    results = evaluate(
        lm,
        loaded,
        samples=chosen,
        bootstrap_iters=1000,
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
    )
    results["date"] = time.time()
    return TaskRun(results, missing, asked)


def _load(task: str, asking: TaskOptions) -> dict[str, Any]:
    """The task's or group's tasks, with shots and seed set as lm-eval's command line sets them."""
    tasks = manager([task], asking.more_tasks)
    random.seed(0)
    try:
        loaded: dict[str, Any] = tasks.load([task])
    except (OSError, ValueError, ConnectionError) as error:
        raise UserError(
            f"The data of {task!r} cannot be had: {str(error).splitlines()[0][:200]}",
            "Check the network (HF_HUB_OFFLINE keeps off the hub), or choose a pocket task.",
        ) from error
    shots = asking.shots if asking.shots is not None else SHOTS.get(task)
    for one in loaded["tasks"].values():
        own = one.get_config("num_fewshot")
        if asking.shots is not None and own != 0:
            one.set_config(key="num_fewshot", value=asking.shots)
        elif own is None:
            one.set_config(key="num_fewshot", value=shots or 0)
        one.set_fewshot_seed(seed=asking.seed)
    return loaded


def _build(tasks: Mapping[str, Any], lm: Any, asking: TaskOptions, chat: bool) -> None:
    for one in tasks.values():
        one.build_all_requests(
            limit=asking.limit,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
            chat_template=lm.apply_chat_template if chat else None,
            tokenizer_name=lm.tokenizer_name,
        )


def _by_kind(tasks: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Requests by type, repeated as often as the task wants, in lm-eval's order."""
    found: dict[str, list[Any]] = defaultdict(list)
    for one in tasks.values():
        for request in one.instances:
            found[request.request_type] += [request] * request.repeats
    return found


def _by_doc(requests: Sequence[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for request in requests:
        found[request.doc_id].append(request)
    return found


def _keep_answered(
    loaded: dict[str, Any], missing: Mapping[str, Mapping[int, str]]
) -> dict[str, list[int]]:
    """Leave only answered documents in the tasks; their numbers, as lm-eval takes them.

    The prompts stay as they were built: built again for fewer documents, randomly drawn examples
    would be others. A task without any answered document is taken out, and its groups with it.
    """
    chosen: dict[str, list[int]] = {}
    for name, one in list(loaded["tasks"].items()):
        failed = missing.get(name, {})
        kept = _by_doc([r for r in one.instances if r.doc_id not in failed])
        if not kept:
            del loaded["tasks"][name]
            loaded["groups"] = {}
            continue
        numbers = sorted(kept)
        chosen[name] = numbers
        for place, number in enumerate(numbers):
            for request in kept[number]:
                request.doc_id = place
        # lm-eval's `evaluate` has no way in for requests that are built already: it takes those
        # of the task and builds them first. pyproject.toml bounds lm-eval for this.
        one._instances = [request for number in numbers for request in kept[number]]
        one.build_all_requests = lambda **_: None
    return chosen


class _Scorer:
    """Scores a document as soon as all its answers are there."""

    def __init__(self, tasks: Mapping[str, Any], listener: Listener) -> None:
        self._tasks, self._listener = tasks, listener
        self.requests: Mapping[str, Mapping[int, list[Any]]] = {}

    def heard(self, task: str, doc: int, answers: Mapping[int, Any]) -> None:
        """All of a document's requests have an answer."""
        import copy

        one = self._tasks[task]
        rows = []
        for request in self.requests[task][doc]:
            row = copy.copy(request)
            row.resps, row.filtered_resps = [answers[request.idx]], {}
            rows.append(row)
        rows.sort(key=lambda row: row.idx)
        first = one._filters[0]
        first.apply(rows)
        answered = [row.filtered_resps[first.name] for row in rows]
        self._listener.scored(task, doc, one.process_results(rows[0].doc, answered))


def write(
    ran: TaskRun, folder: Path, model: str, about: Mapping[str, Any], template: str
) -> Path | None:
    """Write results as lm-eval writes them, with our part under "lab"; where, None for none.

    Args:
        ran: What came.
        folder: The run's results folder; a folder of the model's name is made in it.
        model: The model's id.
        about: The model's card without secrets, kept as lm-eval's model_args.
        template: How prompts reached the model.
    """
    if ran.results is None:
        return None
    import lm_eval
    from lm_eval.loggers import EvaluationTracker

    results, missing = dict(ran.results), ran.missing
    samples = results.pop("samples")
    results["config"] = {"model": "imitation-lab", "model_args": dict(about), "batch_size": None}
    results["lm_eval_version"] = getattr(lm_eval, "__version__", "")
    results["lab"] = {
        "template": template,
        "asked": dict(ran.asked),
        "missing": {name: {str(k): v for k, v in rows.items()} for name, rows in missing.items()},
    }
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.model_source = "imitation-lab"
    tracker.general_config_tracker.model_name = model
    tracker.general_config_tracker.model_name_sanitized = model
    tracker.save_results_aggregated(results, samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task, rows)
    return folder / model / f"results_{tracker.date_id}.json"
