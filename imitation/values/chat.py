"""Conversations, and what a stream of an answer says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Speaker = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Speaker
    content: str


@dataclass(frozen=True, slots=True)
class Sent:
    """First event of a stream: exactly what was sent to the server.

    Attributes:
        url: Address the request went to, without credentials; a file's path for recordings.
        model: Model name in the request.
        adapter: Adapter picked by the request, if any.
        messages: Messages sent, after trimming to the context.
        prompt: Rendered prompt text where known (always for plain completions), else None.
        stop: Stop strings sent.
        parameters: Sampling parameters sent, by their wire names.
        dropped: Messages left out because the context was full, oldest first.
        note: Anything else the reader should know, such as "token counts are estimates".
    """

    url: str
    model: str
    adapter: str | None = None
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    stop: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[Message, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """Last event of a stream that ended well.

    Attributes:
        finish_reason: "stop", "length" or the server's own word; "" where it did not say.
        prompt_tokens: Tokens of the prompt, None where the server does not say.
        completion_tokens: Tokens of the answer, None where unknown.
        tokens_are_approximate: True where the count is ours (events seen), not the server's.
        first_token_s: Seconds from sending to the first text; None for an empty answer.
        total_s: Seconds from sending to the end.
        max_tokens: New tokens asked for, None where not kept.
        arrivals: How many times text came in, None where not counted.
    """

    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_are_approximate: bool = False
    first_token_s: float | None = None
    total_s: float = 0.0
    max_tokens: int | None = None
    arrivals: int | None = None

    @property
    def tokens_per_s(self) -> float | None:
        """Decoding speed after the first token, tokens per second.

        None where unknown, and where all text came at once: that has no speed.
        """
        if self.completion_tokens is None or self.first_token_s is None:
            return None
        if self.arrivals is not None and self.arrivals < 2:
            return None
        seconds = self.total_s - self.first_token_s
        if seconds <= 0 or self.completion_tokens < 2:
            return None
        return (self.completion_tokens - 1) / seconds

    @property
    def was_shortened(self) -> bool:
        """Whether the server ended at a limit of its own, below the one asked for.

        Servers whose context has no room for `max_tokens` more do so without a word.
        """
        return (
            self.finish_reason == "length"
            and not self.tokens_are_approximate
            and self.completion_tokens is not None
            and self.max_tokens is not None
            and self.completion_tokens < self.max_tokens
        )


Event = Sent | Delta | Done


@dataclass(frozen=True, slots=True)
class Completion:
    """A drained stream."""

    text: str
    sent: Sent
    done: Done


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt and what each column answered, as stored.

    Attributes:
        prompt: The user's message.
        answers: One per column, in column order.
    """

    prompt: str
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one column answered in one turn.

    Attributes:
        text: The text so far.
        status: What the model is busy with before its first text.
        progress: How far that is, 0 to 1; None where unknown.
        state: "waiting", "streaming", "done", "stopped" or "failed".
        sent: What was sent, None until it was.
        done: How it ended, None unless state is "done".
        error: Message and hint of a failure, None unless state is "failed".
        elapsed_s: Seconds from sending until now or the end.
        first_token_s: Seconds from sending to the first text, None before it.
        tokens: Pieces received so far (tokens on most servers).
    """

    text: str = ""
    status: str = ""
    progress: float | None = None
    state: Literal["waiting", "streaming", "done", "stopped", "failed"] = "waiting"
    sent: Sent | None = None
    done: Done | None = None
    error: tuple[str, str] | None = None
    elapsed_s: float = 0.0
    first_token_s: float | None = None
    tokens: int = 0
