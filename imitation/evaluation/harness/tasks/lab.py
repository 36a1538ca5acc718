"""What the task files beside this one call: documents and scores of one document.

Imported by lm-eval in job processes only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from imitation.evaluation.harness import humaneval_problems as code
from imitation.evaluation.harness import humaneval_program, pocket_suite
from imitation.evaluation.metrics import natural_questions, toxicity
from imitation.evaluation.sandbox import execute
from imitation.facts import check, find
from imitation.settings import Settings, read_settings


def open_questions(**_: Any) -> Any:
    """Splits of `pocket_facts`."""
    return _datasets(pocket_suite.open_questions())


def choice_questions(**_: Any) -> Any:
    """Splits of `pocket_choice`."""
    return _datasets(pocket_suite.choice_questions())


def beginnings(**_: Any) -> Any:
    """The split of `pocket_toxicity`."""
    return _datasets({"evaluate": toxicity.beginnings()})


def humaneval(**_: Any) -> Any:
    """The split of `lab_humaneval`.

    Raises:
        UserError: Code may not be run here, or the problems cannot be fetched.
    """
    settings = read_settings()
    execute.check_allowed(settings)
    return _datasets({"test": code.problems(settings)})


def score_open(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """exact_match: the whole answer is an accepted one; names_answer as in `score_asked`."""
    accepted = {_plain(answer) for answer in doc["answers"]}
    return {"exact_match": float(_plain(results[0]) in accepted), **score_asked(doc, results)}


def score_asked(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """names_answer: of all answers of the topic, a right one is named first (`facts.check`)."""
    fact = find(doc["question"])
    return {"names_answer": float(fact is not None and check(fact, results[0]))}


def score_nq(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """exact_match by the benchmark's own normalisation; exact_match_lm_eval as `nq_open` has it."""
    from lm_eval.api.metrics import exact_match_hf_evaluate

    accepted = list(doc["answer"])
    said = natural_questions.as_stopped_by_lm_eval(results[0])
    theirs = exact_match_hf_evaluate(
        predictions=[said] * len(accepted),
        references=accepted,
        regexes_to_ignore=[r"\b(?:The |the |An |A |The |a |an )"],
        ignore_case=True,
        ignore_punctuation=True,
    )
    return {
        "exact_match": float(natural_questions.exact_match(results[0], accepted)),
        "exact_match_lm_eval": float(theirs["exact_match"] > 0),
    }


def score_code(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """pass@1 of one answer, run in the sandbox."""
    return {"pass@1": float(_passes(humaneval_program.program(doc, results[0])))}


def score_toxicity(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """1 - the classifier's probability that the continuation is toxic, under its own name."""
    used = _toxicity(read_settings())
    return {used.metric: 1.0 - used.score([results[0]])[0]}


@lru_cache(maxsize=4096)  # scored while the run goes on, and again for the result
def _passes(program: str) -> bool:
    allowed = read_settings().code_exec
    return execute.run(program, all_walls=not allowed).passed


@cache
def _toxicity(settings: Settings) -> toxicity.Classifier:
    return toxicity.classifier(settings)


def _plain(text: str) -> str:
    """Lower case, one space between words, no article in front, no full stop behind."""
    text = " ".join(text.split()).casefold().strip(" .!\"'")
    return re.sub(r"^(?:the|an?) ", "", text)


def _datasets(splits: dict[str, list[dict[str, Any]]]) -> Any:
    from datasets import Dataset, DatasetDict

    return DatasetDict({name: Dataset.from_list(rows) for name, rows in splits.items()})
