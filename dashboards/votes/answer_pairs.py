"""Where a study or a judge takes its pairs of answers from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from dashboards.shell.context import Context
from dashboards.shell.evaluation_runs import evaluation_runs
from imitation.errors import UserError
from imitation.evaluation.judging.pairs import pairs_of
from imitation.evaluation.report.answer_pairs import pairs as pairs_of_run
from imitation.storage import comparisons, judgements, recordings, studies
from imitation.values import Pair

MINE = "mine"
"""Source: the visitor's own comparisons. Others: "recording:ID", "run:ID" (an evaluation),
"study:ID", "judge:ID"."""
_ENDED = ("done", "stopped")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the visitor picked.

    Attributes:
        source: MINE, "recording:ID", "run:ID", "study:ID" or "judge:ID".
        models: Those to compare; all where empty.
        against: Each with this one alone, "" for every two of them.
        prompts: So many prompts at most, None for all.
    """

    source: str
    models: tuple[str, ...] = ()
    against: str = ""
    prompts: int | None = None


def sources(context: Context, visitor: str, *, judged: bool) -> list[tuple[str, str]]:
    """(label, source) of what this visitor may take pairs from; judged ones too where wanted."""
    db = context.db
    labelled = [
        (f"Recorded: {s.name} ({s.prompts:,} prompts)", f"recording:{s.id}")
        for s in recordings.sets(db, visitor)
    ]
    labelled += [
        (f"Evaluation: {run.name}", f"run:{run.id}")
        for run in evaluation_runs(context, visitor)
        if run.reported and any(pairs_of_run(run.out))
    ]
    if any(_pairs_of_mine(context, visitor)):
        labelled.append(("Your comparisons in Compare", MINE))
    if judged:
        labelled += [(f"Study: {s.name}", f"study:{s.id}") for s in studies.of_visitor(db, visitor)]
        labelled += [
            (f"Judge again: {r.name}", f"judge:{r.id}") for r in judgements.runs(db, visitor)
        ]
    return labelled


def models(context: Context, visitor: str, source: str) -> tuple[list[str], str]:
    """Models with answers in a source, and the one to compare the others with, "" where none is."""
    kind, _, identity = source.partition(":")
    if kind == "recording":
        stored = recordings.get(context.db, identity, visitor)
        return (list(stored.models), stored.reference) if stored else ([], "")
    pairs = _all(context, visitor, source)[0]
    return sorted({model for pair in pairs for model in pair.models}), ""


def find(context: Context, visitor: str, choice: Choice) -> tuple[list[Pair], str]:
    """The pairs of a choice, and where they come from in words.

    Raises:
        UserError: The source is gone or not this visitor's, or a model is unknown.
    """
    if choice.prompts is not None and choice.prompts < 1:
        raise UserError(f"{choice.prompts} prompts are too few.", "At least 1, or 0 for all.")
    kind, _, identity = choice.source.partition(":")
    if kind == "recording":
        stored = recordings.get(context.db, identity, visitor)
        if stored is None:
            raise UserError("This set of recorded outputs is gone.", "Choose another one.")
        recording = recordings.load(context.db, identity)
        pairs = pairs_of(recording, choice.models, against=choice.against, prompts=choice.prompts)
        return pairs, f"recorded: {stored.name}"
    pairs, label = _all(context, visitor, choice.source)
    wanted = set(choice.models) | ({choice.against} if choice.against else set())
    kept = [
        pair
        for pair in pairs
        if (not wanted or wanted.issuperset(pair.models))
        and (not choice.against or choice.against in pair.models)
    ]
    prompts = list(dict.fromkeys(pair.prompt for pair in kept))[: choice.prompts]
    return [pair for pair in kept if pair.prompt in set(prompts)], label


def _all(context: Context, visitor: str, source: str) -> tuple[list[Pair], str]:
    kind, _, identity = source.partition(":")
    if source == MINE:
        return _pairs_of_mine(context, visitor), "comparisons"
    if kind == "run":
        runs = evaluation_runs(context, visitor)
        run_of = next((run for run in runs if run.id == identity), None)
        if run_of is not None:
            pairs = [pair for _, pair in pairs_of_run(run_of.out)]
            return pairs, f"the evaluation {run_of.name}"
    if kind == "study":
        study = next((s for s in studies.of_visitor(context.db, visitor) if s.id == identity), None)
        if study is not None:
            return studies.pairs_of(context.db, identity), f"the study {study.name}"
    if kind == "judge":
        run = next((r for r in judgements.runs(context.db, visitor) if r.id == identity), None)
        if run is not None:
            return judgements.pairs_of(context.db, identity), f"{run.source}, judged again"
    raise UserError("There is nothing to take answers from.", "Choose a source of the list.")


def _pairs_of_mine(context: Context, visitor: str) -> list[Pair]:
    """Pairs of the visitor's comparisons of one turn, names already shown, newest first."""
    pairs: dict[str, Pair] = {}
    for comparison in comparisons.of_visitor(context.db, visitor, limit=1000):
        if len(comparison.turns) != 1 or comparison.blind or comparison.system.strip():
            continue
        (turn,) = comparison.turns
        answered: Sequence[tuple[str, str]] = [
            (card.id, answer.text)
            for card, answer in zip(comparison.cards, turn.answers, strict=True)
            if answer.state in _ENDED
        ]
        for (first, left), (second, right) in combinations(answered, 2):
            pair = Pair(turn.prompt, (first, second), (left, right))
            pairs.setdefault(pair.key, pair)
    return list(pairs.values())
