"""Import a judge's recorded reviews, as FastChat writes them, as a run of that judge.

    python -m imitation.jobs.commands.import_reviews --judge GPT-4 --questions question.jsonl \
        --answers answer_gpt35.jsonl answer_vicuna-13b.jsonl --reviews review_gpt35_vicuna-13b.jsonl

A review is {"question_id", "answer1_id", "answer2_id", "text"}: its verdict is read from the text.
Exits with 0, or 2 where a file cannot be read or no review can be used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

from pydantic import Field

from imitation.evaluation.judging.preferences import decide, win_rates
from imitation.evaluation.judging.verdicts import parse
from imitation.jobs.parameters import JobParameters, run
from imitation.models.recordings.files import Source, read_recording
from imitation.models.recordings.lines import Row, read_rows
from imitation.settings import read_settings
from imitation.storage import judgements
from imitation.storage.database import connect
from imitation.values import Interval, Pair, Recording, Refused, Verdict

Review = tuple[Pair, Verdict, str]
"""What is compared, the verdict, and the whole review it was read from."""
SHOWN = 20
"""Refused lines printed."""


class ImportReviews(JobParameters):
    """Parameters of `import_reviews`."""

    reviews: Annotated[tuple[Path, ...], Field(min_length=1, description="files of reviews")]
    questions: Annotated[Path, Field(description="file of prompts")]
    answers: Annotated[
        tuple[Path, ...], Field(min_length=1, description="files of the answers reviewed")
    ]
    judge: Annotated[str, Field(description="who wrote the reviews")] = "GPT-4"
    name: Annotated[str, Field(description="what the run is called")] = ""


def read_reviews(
    reviews: Sequence[Path], questions: Path, answers: Sequence[Path]
) -> tuple[list[Review], list[Refused]]:
    """Reviews with the pair each is about, and the lines that could not be used.

    Raises:
        UserError: A file cannot be opened.
    """
    recording = read_recording(
        [
            Source(questions, answers=False),
            *(Source(path, str(path), answers=True) for path in answers),
        ]
    )
    refused = list(recording.refused)
    by_id: dict[str, tuple[str, str]] = {}
    for path in answers:
        for row in read_rows(path, str(path)):
            if isinstance(row, Row) and (model := _model(recording, str(path), row)):
                by_id[str(row.value.get("answer_id"))] = model, str(row.value["question_id"])
    prompts = {prompt.id: prompt.text for prompt in recording.prompts}
    reviewed: dict[Pair, Review] = {}
    for path in reviews:
        for line in read_rows(path, path.name):
            if isinstance(line, Refused):
                refused.append(line)
            elif isinstance(review := _review(line, by_id, prompts, recording), str):
                refused.append(Refused(path.name, line.line, review))
            elif review[0] in reviewed:
                reason = "a second review of these answers"
                refused.append(Refused(path.name, line.line, reason))
            else:
                reviewed[review[0]] = review
    return list(reviewed.values()), refused


def _model(recording: Recording, file: str, row: Row) -> str | None:
    """The name that this row's model got when the files were joined."""
    question, text = str(row.value.get("question_id")), row.value.get("text")
    for model, answers in recording.answers.items():
        if file in recording.files[model] and answers.get(question) == text:
            return model
    return None


def _review(
    row: Row,
    by_id: dict[str, tuple[str, str]],
    prompts: dict[str, str],
    recording: Recording,
) -> Review | str:
    value = row.value
    text, sides = value.get("text"), [str(value.get(f"answer{n}_id")) for n in (1, 2)]
    if not isinstance(text, str):
        return "the review has no text"
    if missing := [side for side in sides if side not in by_id]:
        return f"no answer has the id {missing[0]}"
    (first, question), (second, other) = (by_id[side] for side in sides)
    if not question == other == str(value.get("question_id")):
        return "its answers are not to its question"
    answers = (recording.answers[first][question], recording.answers[second][question])
    return Pair(prompts[question], (first, second), answers), parse(text), text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    prog = "python -m imitation.jobs.commands.import_reviews"
    return run(ImportReviews, _work, argv, prog=prog, about=__doc__ or "")


def _work(parameters: ImportReviews) -> int:
    reviews, refused = read_reviews(parameters.reviews, parameters.questions, parameters.answers)
    for line in refused[:SHOWN]:
        print(f"  refused: {line.file}:{line.line}: {line.reason}", file=sys.stderr)
    with closing(connect(read_settings().database)) as db:
        identity = judgements.add_reviews(
            db,
            reviews,
            name=parameters.name or f"{parameters.judge}, recorded",
            judge=parameters.judge,
            source=", ".join(path.name for path in parameters.reviews),
        )
        preferences = judgements.preferences(db, identity)
    without = len(reviews) - len(preferences)
    print(f"{len(reviews)} reviews, {without} without a verdict, {len(refused)} refused")
    for rate in win_rates(decide(preferences)):
        equal, better = rate.mirrored.equal_or_better, rate.mirrored.better
        print(
            f"{rate.other} against {rate.model}: better {_percent(better)}, "
            f"equal or better {_percent(equal)}, n = {rate.n}"
        )
    return 0


def _percent(share: Interval) -> str:
    return share.too_few() or f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"


if __name__ == "__main__":
    sys.exit(main())
