"""What the events of a chat or a completion say, in all the dialects that servers speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imitation.models.http import errors as http_errors
from imitation.models.http.event_stream import StreamEvent
from imitation.text import clean
from imitation.values import ModelSpec

_WITHHELD = ("content_filter", "safety", "recitation", "prohibited_content", "blocklist")
_PINGS = ("ping", "heartbeat", "keepalive", "keep-alive")
_FAILED = ("error", "abort", "aborted", "failed", "cancelled", "insufficient_system_resource")


class AnswerReader:
    """What one reply has said so far.

    Args:
        card: The model asked.
        key: The key that was sent, kept out of messages.

    Attributes:
        finish: How the server says the answer ended, lower case; "" until it does.
        prompt_tokens: By the server's count, None where it gives none.
        completion_tokens: By the server's count, None where it gives none.
        ended: Whether the server said that nothing more comes.
    """

    def __init__(self, card: ModelSpec, key: str = "") -> None:
        self._card = card
        self._key = key
        self._deltas = False
        self._choices = False
        self._thought = False
        self._whole = False  # an answer that is no stream needs no word for its end
        self._wrote = False
        self._odd: Any = None
        self.finish = ""
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.ended = False

    def take(self, event: StreamEvent) -> str | None:
        """Text of the answer that an event brings, "" where it brings none; None for a ping.

        Raises:
            BackendError: It tells of an error, or is nothing the protocol knows.
        """
        said = event.value
        if isinstance(said, list) and len(said) == 1:
            said = said[0]  # Gemini's errors stand in a list
        if said is None:
            self.ended = True
            return ""
        if not isinstance(said, Mapping):
            raise http_errors.protocol_error(self._card, said)
        choices = said.get("choices")
        if _tells_error(said, event.name):
            raise http_errors.stream_error(self._card, said, self._key)
        self._count(said.get("usage"))
        if not choices:
            if not said or said.get("type") in _PINGS:
                return None
            if not said.keys() & {"usage", "choices"}:
                self._odd = self._odd or said
            return ""
        choice = choices[0] if isinstance(choices, list) else None
        if not isinstance(choice, Mapping):
            raise http_errors.protocol_error(self._card, said)
        self._choices = True
        if choice.get("error"):
            raise http_errors.stream_error(self._card, choice, self._key)
        self.finish = clean(str(choice.get("finish_reason") or self.finish)).lower()
        self._count(choice.get("usage"))
        try:
            text = self._text(choice)
        except RecursionError:
            raise http_errors.protocol_error(self._card, "text nested too deeply") from None
        self._wrote |= bool(text)
        self._whole |= event.bare
        return text

    def check_end(self) -> None:
        """Return if what has come is an answer.

        Raises:
            BackendError: It is none, or not all of one, and why.
        """
        card = self._card
        if self.finish in _WITHHELD:
            raise http_errors.filter_error(card, self.finish, cut=self._wrote)
        if self.finish in _FAILED:
            raise http_errors.interrupted_error(card, f"the server ended it with {self.finish!r}.")
        if not self._choices and self._odd:
            raise http_errors.protocol_error(card, self._odd)
        if self._thought and not self._wrote:
            raise http_errors.no_answer_error(card, cut=self.finish == "length")
        if self.ended and not self.finish and not self._wrote:
            raise http_errors.interrupted_error(card, "the server ended it without a word.")
        if not self.ended and not self.finish and not self._whole:
            raise http_errors.interrupted_error(
                card, "the server closed the stream before its end."
            )

    def _text(self, choice: Mapping[str, Any]) -> str:
        """The text of a choice: of its delta, else of its message, else its own."""
        delta, message = choice.get("delta"), choice.get("message")
        for part in (delta, message):
            if isinstance(part, Mapping):
                self._thought |= bool(part.get("reasoning_content") or part.get("reasoning"))
        if text := _words_of(delta):
            self._deltas = True
            return text
        # Some servers repeat in `message` all that their deltas have said.
        return "" if self._deltas else _words_of(message) or _flat(choice.get("text"))

    def _count(self, usage: object) -> None:
        if isinstance(usage, Mapping):
            self.prompt_tokens = _number(usage.get("prompt_tokens")) or self.prompt_tokens
            made = _number(usage.get("completion_tokens"))
            if made or (made == 0 and not self._wrote):  # some count nothing, and send 0
                self.completion_tokens = made


def _tells_error(said: Mapping[str, Any], name: str) -> bool:
    """Whether an event is an error, in the forms of OpenAI, vLLM, FastChat, FastAPI and others."""
    if said.get("error") or name == "error":
        return True
    if said.get("choices"):
        return False
    if "error" in (said.get("object"), said.get("type")):
        return True
    return bool(said.get("error_code") or said.get("detail") or said.get("errors"))


def _words_of(part: object) -> str:
    """Text of a delta or a message; a refusal is what the model answered too."""
    if not isinstance(part, Mapping):
        return part if isinstance(part, str) else ""
    return _flat(part.get("content")) or _flat(part.get("refusal"))


def _flat(content: object) -> str:
    """Text of a content, which may be a list of parts; parts that are no text are left out."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        kind = content.get("type", "text")
        return _flat(content.get(kind)) if kind in ("text", "output_text", "refusal") else ""
    return "".join(map(_flat, content)) if isinstance(content, list) else ""


def _number(value: object) -> int | None:
    """A count, also where it is written as a string; None for anything else."""
    try:
        found = int(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found >= 0 and not isinstance(value, bool) else None
