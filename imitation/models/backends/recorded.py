"""Recorded outputs as a model: the card names a file and which of its models to answer as."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imitation.errors import BackendError, UserError
from imitation.models.recordings.files import Source, read_recording, wording
from imitation.settings import Settings
from imitation.validation import nearest
from imitation.values import Delta, Done, Event, Message, ModelSpec, Recording, Sampling, Sent

PIECES = 8
"""Pieces an answer is streamed in, at most."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    stamp: tuple[int, int]
    recording: Recording
    prompts: dict[tuple[str, ...], str]


class RecordedBackend:
    """Answers from files of recorded outputs, read when first asked and when they change."""

    def __init__(self, settings: Settings) -> None:
        self._loaded: dict[Path, _Loaded] = {}

    async def stream(
        self, card: ModelSpec, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[Event, None]:
        """The recorded answer to exactly this conversation's user messages.

        White space is compared loosely; system prompt, earlier answers and sampling have no
        bearing on what was recorded.

        Raises:
            BackendError: The file cannot be read, or has no answer to this prompt.
        """
        started = time.perf_counter()
        yield Sent(
            url=card.file,
            model=card.model,
            messages=tuple(messages),
            note="Recorded: the system prompt and the sampling parameters have no effect.",
        )
        loaded = await asyncio.to_thread(self._load, card)
        text = _answer(card, loaded, tuple(m.content for m in messages if m.role == "user"))
        first = None
        for piece in _pieces(text):
            first = first if first is not None else time.perf_counter() - started
            yield Delta(piece)
            # Lets the other columns' readers run between two pieces.
            await asyncio.sleep(0)
        yield Done("stop", first_token_s=first, total_s=time.perf_counter() - started)

    async def probe(self, card: ModelSpec) -> None:
        """Return if the file can be opened.

        Raises:
            BackendError: It cannot, and why.
        """
        try:
            await asyncio.to_thread(_open, Path(card.file))
        except OSError as error:
            raise _unreadable(card, error.strerror or str(error)) from error

    async def close(self) -> None:
        """Forget the files read."""
        self._loaded.clear()

    def _load(self, card: ModelSpec) -> _Loaded:
        path = Path(card.file)
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            loaded = self._loaded.get(path)
            if loaded is None or loaded.stamp != stamp:
                recording = read_recording([Source(path, answers=True), *_questions(path)])
                prompts = {wording((*p.earlier, p.text)): p.id for p in recording.prompts}
                loaded = self._loaded[path] = _Loaded(stamp, recording, prompts)
        except OSError as error:
            raise _unreadable(card, error.strerror or str(error)) from error
        except UserError as error:
            raise BackendError(error.message, error.hint) from error
        return loaded


def _answer(card: ModelSpec, loaded: _Loaded, asked: tuple[str, ...]) -> str:
    recording = loaded.recording
    name = Path(card.file).name
    model = card.model or (recording.models[0] if len(recording.models) == 1 else "")
    if not any(recording.answers.values()):
        reason = recording.refused[0].reason if recording.refused else "no answers in it"
        raise BackendError(f"{name} has no usable answer: {reason}.", "Check the card's file.")
    if model not in recording.answers:
        which = f"has no model {model!r}" if model else "has several models; the card names none"
        raise BackendError(f"{name} {which}.", nearest(model, recording.models))
    prompt = loaded.prompts.get(wording(asked))
    text = recording.answers[model].get(prompt) if prompt is not None else None
    if text is None:
        raise BackendError(
            f"{card.name} has no recorded answer for this prompt.",
            f"{name} has answers to {len(recording.answers[model]):,} prompts; "
            "ask one of them, word for word.",
        )
    return text


def _pieces(text: str) -> list[str]:
    """`text` cut before words into at most PIECES pieces of about the same number of words."""
    words = re.findall(r"\s*\S+|\s+$", text)
    size = -(-len(words) // PIECES) or 1
    return ["".join(words[at : at + size]) for at in range(0, len(words), size)]


def _questions(path: Path) -> list[Source]:
    """FastChat's layouts keep the questions in a file beside the answers or their folder."""
    places = (path.with_name("question.jsonl"), path.parent.parent / "question.jsonl")
    return [Source(place, answers=False) for place in places if place.is_file()][:1]


def _open(path: Path) -> None:
    with path.open("rb"):
        pass


def _unreadable(card: ModelSpec, reason: str) -> BackendError:
    return BackendError(
        f"{card.name}: {card.file} cannot be read: {reason}.",
        "Correct the card's file in the catalog.",
    )
