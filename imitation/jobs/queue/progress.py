"""Progress of a job: the lines its command appends (`imitation.events`), read on as they come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imitation import events
from imitation.values import Interval

RECENT = 20
"""Steps that speed and remaining time are measured over."""
_CHUNK = 1 << 20


@dataclass
class Progress:
    """What is known of a run so far; grows while its file is read.

    Attributes:
        event: The last event, "" before any.
        phase: The last one that is no end of it.
        step: Steps done.
        steps: Steps in all, None where not known.
        resumed: Step it last went on from, None for a run in one go.
        elapsed_s: Seconds between the start and the last event.
        loss: (step, loss per output token).
        learning_rate: (step, learning rate).
        validation: (step, loss per output token of the data kept out).
        scores: Name of a held-out score -> (step, its value with interval and n).
        tokens: Tokens seen so far, None where not known.
        trained_tokens: Tokens of these that the loss is over.
        failure: Message and hint, where the command said why it failed.
        whole: Whether it said that all that was asked for is there.
    """

    event: str = ""
    phase: str = ""
    step: int = 0
    steps: int | None = None
    resumed: int | None = None
    elapsed_s: float = 0.0
    loss: list[tuple[int, float]] = field(default_factory=list)
    learning_rate: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    scores: dict[str, list[tuple[int, Interval]]] = field(default_factory=dict)
    tokens: int | None = None
    trained_tokens: int | None = None
    failure: tuple[str, str] | None = None
    whole: bool = False
    _recent: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        """Share of the steps done, 0 to 1; None where not known."""
        return min(1.0, self.step / self.steps) if self.steps else None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens per second over the last steps, padding not counted; None where not known."""
        seconds, _, tokens = self._span()
        return tokens / seconds if seconds > 0 and tokens > 0 else None

    @property
    def eta_s(self) -> float | None:
        """Seconds the steps left take at the speed of the last ones; None where not known."""
        seconds, steps, _ = self._span()
        if not self.steps or steps <= 0 or seconds <= 0:
            return None
        return max(0, self.steps - self.step) * seconds / steps

    def add(self, line: dict[str, Any]) -> None:
        """Take in one line; values that are not of their kind are passed over."""
        self.event = str(line.get("event", "step" if "step" in line else self.event))
        if self.event not in ("stopped", "failed", "end"):
            self.phase = self.event
        self.whole = events.is_whole(line)
        self.elapsed_s = _number(line.get("elapsed_s")) or self.elapsed_s
        self.steps = _whole(line.get("steps")) or self.steps
        if self.event == "step":
            self._add_step(line)
        elif self.event == "validation":
            step, loss = _whole(line.get("step")), _number(line.get("loss"))
            if step is not None and loss is not None:
                self.validation.append((step, loss))
        elif self.event == "score":
            self._add_score(line)
        elif self.event == "resumed":
            self.resumed = _whole(line.get("step"))
        elif self.event == "failed":
            self.failure = (str(line.get("message", "")), str(line.get("hint", "")))

    def _add_step(self, line: dict[str, Any]) -> None:
        step = _whole(line.get("step"))
        if step is None:
            return
        if step <= self.step:  # resumed from a checkpoint: these steps are done again
            again: list[list[Any]] = [self.loss, self.learning_rate, self.validation]
            for values in (*again, *self.scores.values()):
                while values and values[-1][0] >= step:
                    values.pop()
            self._recent.clear()
        self.step = step
        for series, key in ((self.loss, "loss"), (self.learning_rate, "learning_rate")):
            value = _number(line.get(key))
            if value is not None:
                series.append((step, value))
        self.tokens = _whole(line.get("tokens")) or self.tokens
        self.trained_tokens = _whole(line.get("trained_tokens")) or self.trained_tokens
        self._recent.append((self.elapsed_s, step, self.tokens or 0))
        del self._recent[: -RECENT - 1]

    def _add_score(self, line: dict[str, Any]) -> None:
        step, value, n = _whole(line.get("step")), _number(line.get("value")), _whole(line.get("n"))
        if step is None or value is None or not n:
            return
        found = Interval(value, _number(line.get("low")), _number(line.get("high")), n)
        self.scores.setdefault(str(line.get("name", "")), []).append((step, found))

    def _span(self) -> tuple[float, int, int]:
        """Seconds, steps and tokens between the oldest and the newest of the last steps."""
        if len(self._recent) < 2:
            return 0.0, 0, 0
        (t0, s0, n0), (t1, s1, n1) = self._recent[0], self._recent[-1]
        return t1 - t0, s1 - s0, n1 - n0


class Reader:
    """Follows one progress file; each `read` takes in only what was appended since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.progress = Progress()
        self._at = 0
        self._inode = -1
        self._half = b""

    def read(self) -> Progress:
        """The progress by now. A file that began anew is read anew; a missing one is empty."""
        try:
            with self.path.open("rb") as opened:
                found = opened.seek(0, 2)
                inode = self.path.stat().st_ino
                if found < self._at or inode != self._inode:
                    self._at, self._half, self.progress = 0, b"", Progress()
                    self._inode = inode
                opened.seek(self._at)
                while piece := opened.read(_CHUNK):
                    self._at += len(piece)
                    *lines, self._half = (self._half + piece).split(b"\n")
                    for line in lines:
                        self._take(line)
        except OSError:
            pass
        return self.progress

    def _take(self, line: bytes) -> None:
        if found := events.parse(line):
            self.progress.add(found)


def tail(path: Path, limit: int = 16_000) -> str:
    """The last lines of a log, at most `limit` bytes; "" where there is none.

    Of progress bars, which redraw their line, the last state is kept.
    """
    try:
        with path.open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(max(0, size - limit))
            data = opened.read(limit)
    except OSError:
        return ""
    text = data.decode("utf-8", "replace")
    if size > limit:
        text = text.partition("\n")[2] or text
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join(lines)


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
