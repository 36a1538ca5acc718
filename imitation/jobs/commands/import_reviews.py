"""Import a judge's recorded reviews, as FastChat writes them, as a run of that judge.

    python -m imitation.jobs.commands.import_reviews --judge GPT-4 --questions question.jsonl \
        --answers answer_gpt35.jsonl answer_vicuna-13b.jsonl --reviews review_gpt35_vicuna-13b.jsonl

A review is {"question_id", "answer1_id", "answer2_id", "text"}: its verdict is read from the text.
Exits with 0, or 2 where a file cannot be read or no review can be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from imitation.errors import UserError
from imitation.evaluation.judging.preferences import decide, win_rates
from imitation.evaluation.judging.verdicts import parse
from imitation.models.recordings.files import Source, read_recording
from imitation.models.recordings.lines import Row, read_rows
from imitation.settings import read_settings
from imitation.storage import judgements
from imitation.storage.database import connect
from imitation.values import Interval, Pair, Recording, Refused, Verdict

Review = tuple[Pair, Verdict, str]


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
    found: list[Review] = []
    seen: set[Pair] = set()
    for path in reviews:
        for row in read_rows(path, path.name):
            if isinstance(row, Refused):
                refused.append(row)
            elif isinstance(made := _review(row, by_id, prompts, recording), str):
                refused.append(Refused(path.name, row.line, made))
            elif made[0] in seen:
                refused.append(Refused(path.name, row.line, "a second review of these answers"))
            else:
                seen.add(made[0])
                found.append(made)
    return found, refused


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
    (one, question), (two, other) = (by_id[side] for side in sides)
    if not question == other == str(value.get("question_id")):
        return "its answers are not to its question"
    answers = recording.answers
    pair = Pair(prompts[question], (one, two), (answers[one][question], answers[two][question]))
    return pair, parse(text), text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse_args(argv)
    try:
        found, refused = read_reviews(args.reviews, args.questions, args.answers)
        for line in refused[:20]:
            print(f"  refused: {line.file}:{line.line}: {line.reason}", file=sys.stderr)
        with closing(connect(read_settings().database)) as db:
            identity = judgements.add_reviews(
                db,
                found,
                name=args.name or f"{args.judge}, recorded",
                judge=args.judge,
                source=", ".join(path.name for path in args.reviews),
            )
            kept = judgements.preferences(db, identity)
    except UserError as error:
        print(f"import_reviews: {error}", file=sys.stderr)
        return 2
    print(
        f"{len(found)} reviews, {len(found) - len(kept)} without a verdict, {len(refused)} refused"
    )
    for rate in win_rates(decide(kept)):
        equal, better = rate.mirrored.equal_or_better, rate.mirrored.better
        print(
            f"{rate.other} against {rate.model}: better {_percent(better)}, "
            f"equal or better {_percent(equal)}, n = {rate.n}"
        )
    return 0


def _percent(share: Interval) -> str:
    return share.too_few() or f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imitation.jobs.commands.import_reviews",
        description="Recorded reviews of a judge, as a run shown on the page Votes.",
    )
    parser.add_argument("--reviews", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--questions", type=Path, required=True, metavar="FILE")
    parser.add_argument("--answers", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--judge", default="GPT-4", help="who wrote the reviews")
    parser.add_argument("--name", default="", help="what the run is called")
    return parser


if __name__ == "__main__":
    sys.exit(main())
