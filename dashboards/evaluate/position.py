"""Where the reader is on the Evaluate page, and the address that leads back there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from imitation.evaluation.report.sample_index import LETTERS, Verdict


@dataclass(frozen=True, slots=True)
class Position:
    """What is being read.

    Attributes:
        run: Id of the run, "" for the newest.
        task: Only samples of this task, "" for all.
        verdicts: Model -> verdict its samples must have.
        page: Page of the samples, from 0.
        raters: "on" where only samples are shown whose imitation raters or judges preferred.
        reported: Whether the run had its report when it was last looked at; None before a look.
        text: Words searched for at the last look.
    """

    run: str = ""
    task: str = ""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    page: int = 0
    raters: str = ""
    reported: bool | None = None
    text: str = ""


START = Position()


def address_of(position: Position, text: str) -> str:
    """The query of an address that shows the same samples."""
    # Gradio has a use of its own for "page".
    query: dict[str, object] = {
        "run": position.run,
        "task": position.task,
        "raters": position.raters,
        "at": position.page,
    }
    query |= {f"is-{model}": verdict for model, verdict in position.verdicts.items()}
    return "?" + urlencode({**query, "words": text or ""})


def position_of(query: Mapping[str, str]) -> tuple[Position, str]:
    """What the query of an address shows, and the words searched for; nonsense is passed over."""
    page = query.get("at", "")
    position = Position(
        run=query.get("run", ""),
        task=query.get("task", ""),
        raters=query.get("raters", ""),
        page=int(page) if page.isascii() and page.isdecimal() and len(page) < 9 else 0,
        verdicts={
            name.removeprefix("is-"): verdict
            for name, value in query.items()
            if name.startswith("is-") and (verdict := verdict_of(value))
        },
    )
    return position, query.get("words", "")


def verdict_of(value: str) -> Verdict | None:
    """The verdict of that name; None where there is none."""
    return next((verdict for verdict in LETTERS if verdict == value), None)
