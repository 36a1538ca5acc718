"""Frozen values passed between the parts; this module imports nothing of ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["base", "imitation", "reference"]
ROLES: tuple[Role, ...] = ("base", "imitation", "reference")
Speaker = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model that can be a column.

    Attributes:
        id: Unique name in the catalog; letters, digits, `.`, `_`, `-`.
        name: What people read.
        role: base, imitation or reference.
        backend: embedded, openai (any OpenAI-compatible server), tgi or recorded.
        endpoint: Base URL (openai: including `/v1`; tgi: the server's root); unused by embedded.
        model: Model name the server knows; empty: the server's only or default model.
        adapter: LoRA adapter the server picks per request (tgi, vLLM), or for embedded the
            adapter GGUF (a path, relative to the catalog file).
        base: Card id of the base an imitation was made from.
        weights: embedded only: "whole", "cut-2", "cut-4", "cut-6", or the path of a GGUF.
        file: recorded only: the file of recorded outputs.
        prompt_format: "chat" (the server's chat template), "koala" or "plain" (rendered here).
        end_of_turn: What ended answers in training, for koala and plain: the text of the model's
            end-of-sequence token, which earlier turns are rendered with; empty: the format's own.
        api_key_env: Name of the environment variable that holds the key; never the key itself.
        context: Context length in tokens.
        params_b: Parameters in billions, None where unknown.
        tokens_m: Tokens of the data an imitation was trained on, in millions, None where unknown.
        price_in: US dollars for a million prompt tokens, None where unknown.
        price_out: US dollars for a million tokens of answers, None where unknown.
        stand_in: True for a small model that stands in for the real thing; shown on every column.
        licence: Licence of weights or outputs.
        notes: One line shown with the model.
    """

    id: str
    name: str
    role: Role
    backend: str
    endpoint: str = ""
    model: str = ""
    adapter: str = ""
    base: str = ""
    weights: str = ""
    file: str = ""
    prompt_format: str = "chat"
    end_of_turn: str = ""
    api_key_env: str = ""
    context: int = 2048
    params_b: float | None = None
    tokens_m: float | None = None
    stand_in: bool = False
    price_in: float | None = None
    price_out: float | None = None
    licence: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Speaker
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn.

    Attributes:
        temperature: 0 is greedy.
        top_p: Nucleus mass, 0 < top_p <= 1.
        max_tokens: Upper bound on new tokens.
        seed: Same seed, same answer, where the server honours it; None draws afresh.
        stop: Strings that end the answer, besides those of the prompt format.
    """

    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 256
    seed: int | None = None
    stop: tuple[str, ...] = ()


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
class Example:
    """One conversation of a dataset.

    Attributes:
        messages: Turns in order; system first if any.
        source: Where it came from.
        id: Stable within its source.
        meta: Anything kept along (query type, licence, answers known).
        unlearned: Positions of the messages that take no loss, whoever wrote them.
    """

    messages: tuple[Message, ...]
    source: str = ""
    id: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    unlearned: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with its interval and the number of items behind it.

    Attributes:
        value: The estimate; None where it is undefined (no items, no variance).
        low: Lower end, None where undefined.
        high: Upper end, None where undefined.
        n: Items the value rests on.
        least: Items it takes to say anything; below it what people read says so instead.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    least: int = 0

    def too_few(self, unit: str = "item") -> str:
        """That n is below the least, in words in place of the value; "" where it is not."""
        if self.n >= self.least:
            return ""
        return f"too few to say: {self.n:,} {unit}{'s' * (self.n != 1)}, needs {self.least:,}"


@dataclass(frozen=True, slots=True)
class Refused:
    """A line or row that could not be read: where and why."""

    file: str
    line: int
    reason: str


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


@dataclass(frozen=True, slots=True)
class RecordedPrompt:
    """One user message that recorded answers reply to.

    Attributes:
        id: Unique in its recording; later turns of a conversation are "81/2", "81/3", ...
        text: The message.
        category: As its file names it, "" where it does not.
        earlier: The user's messages before it in the same conversation, oldest first.
    """

    id: str
    text: str
    category: str = ""
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """Recorded outputs: prompts, and what each model answered.

    Attributes:
        prompts: In the order of their files.
        answers: Model -> prompt id -> text; a model may have left prompts out.
        files: Model -> the files its answers came from.
        refused: Lines left out, and why.
    """

    prompts: tuple[RecordedPrompt, ...]
    answers: Mapping[str, Mapping[str, str]]
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order of their files."""
        return tuple(self.answers)


Outcome = Literal["first", "second", "tie"]
YesNo = Literal["yes", "no"]
"""Which of two answers was preferred, in the order they were shown."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models' answers to one prompt, in the order they are shown.

    Attributes:
        prompt: What was asked; of a conversation, its user messages joined by blank lines.
        models: First and second.
        answers: First and second.
    """

    prompt: str
    models: tuple[str, str]
    answers: tuple[str, str]

    @property
    def key(self) -> str:
        """A hash of prompt, models and answers; the same in either order."""
        sides = sorted(zip(self.models, self.answers, strict=True))
        text = json.dumps([self.prompt, sides], ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def swapped(self) -> Pair:
        """The same pair in the other order."""
        return Pair(self.prompt, self.models[::-1], self.answers[::-1])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge's answer comes to.

    Attributes:
        outcome: Which of two answers is better, or whether a single one is as asked (yes, no);
            None where no verdict could be read.
        scores: Of the first and the second answer, where it gave scores.
        problem: Why there is no verdict, "" where there is one.
    """

    outcome: Outcome | YesNo | None
    scores: tuple[float, float] | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """One rater's verdict on one pair.

    Attributes:
        pair: In the order it was shown to the rater.
        outcome: Which was preferred.
        rater: Hash of a visitor's secret, or a judge's name.
    """

    pair: Pair
    outcome: Outcome
    rater: str


JobState = Literal["queued", "running", "stopping", "stopped", "failed", "out_of_memory", "done"]
LIVE_STATES: tuple[JobState, ...] = ("queued", "running", "stopping")
"""States of a job that has not ended."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What is to be run as a job.

    Attributes:
        kind: A key of `imitation.jobs.registry.KINDS`.
        parameters: The kind's parameters (`imitation.jobs.parameters`) as plain values; they
            never hold a secret.
        name: What people read.
        device: "cpu", "io" or "gpu:N"; jobs of a device wait for each other.
        out: Absolute path of the folder or file it writes; no other live job may use it.
        progress: Absolute path of the JSON-lines file it writes, "" where it writes none.
        visitor: Hash of its owner's secret, None for the command line.
    """

    kind: str
    parameters: Mapping[str, Any]
    name: str
    device: str = "cpu"
    out: str = ""
    progress: str = ""
    visitor: str | None = None
