"""The shapes conversations come in, told apart by their fields, and how each becomes ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imitation.values import Example, Message, Speaker

MAX_MESSAGE = 1_000_000
"""Characters of one message; longer ones are refused."""

_SPEAKERS: dict[str, Speaker] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
}
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_IDS = ("id", "conversation_id", "conversation_hash", "prompt_id", "question_id")
_KEPT = {
    "type": "type",
    "category": "type",
    "language": "language",
    "model": "model",
    "source": "part",
    "finish_reason": "finish_reason",
}
"""Fields of a row that are kept in meta, and under which name."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to write conversations.

    Attributes:
        name: As shown to people.
        fields: Fields a row has, by which the shape is known.
        read: The conversations of a row (HC3 has several answers in one) as messages.
    """

    name: str
    fields: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], Iterator[list[Message]]]


def recognise(row: Mapping[str, Any]) -> Shape | None:
    """The shape of a row; None where no known one fits."""
    fitting = (s for s in SHAPES if all(row.get(field) is not None for field in s.fields))
    return next(fitting, None)


def examples_of(row: Mapping[str, Any], shape: Shape, source: str, place: str) -> list[Example]:
    """The conversations of a row.

    Args:
        row: As its file has it.
        shape: How it is written.
        source: Name of the data it belongs to.
        place: What stands for its id where it has none.

    Raises:
        ValueError: What is wrong with it, in words.
    """
    found = [_in_turns(messages) for messages in shape.read(row)]
    if not found:
        raise ValueError("no assistant turn")
    name = next((str(row[key]) for key in _IDS if row.get(key) not in (None, "")), place)
    meta = _meta(row)
    try:
        if _NO_TEXT.search(name + json.dumps(meta, ensure_ascii=False)):
            raise ValueError("an id or meta with characters that are not text")
    except TypeError as error:  # dates and the like, of Parquet
        raise ValueError(f"meta that is not JSON: {error}") from None
    many = len(found) > 1
    return [
        Example(messages, source, f"{name}/{at}" if many else name, meta)
        for at, messages in enumerate(found, 1)
    ]


def _meta(row: Mapping[str, Any]) -> dict[str, Any]:
    own = row.get("meta")
    if isinstance(own, str) and own.startswith("{"):  # our own Parquet keeps it as JSON
        own = json.loads(own)
    if isinstance(own, Mapping):
        return dict(own)
    return {_KEPT[key]: value for key in reversed(_KEPT) if isinstance(value := row.get(key), str)}


def _in_turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Turns that a model can learn from: user and assistant alternate, an answer comes last.

    An opening by the assistant and questions left unanswered at the end are cut off.
    """
    system = [m for m in messages[:1] if m.role == "system"]
    turns = list(messages[len(system) :])
    while turns and turns[0].role == "assistant":
        turns.pop(0)
    while turns and turns[-1].role != "assistant":
        turns.pop()
    if not turns:
        raise ValueError("no assistant turn that answers a user")
    for at, turn in enumerate(turns):
        wanted = "assistant" if at % 2 else "user"
        if turn.role != wanted:
            raise ValueError(f"turn {at + 1} is by the {turn.role}, not by the {wanted}")
        if not turn.content.strip():
            raise ValueError(f"turn {at + 1} is empty")
    return (*(m for m in system if m.content.strip()), *turns)


def _message(speaker: object, content: object) -> Message:
    role = _SPEAKERS.get(str(speaker).strip().lower())
    if role is None:
        raise ValueError(f"a message by {str(speaker)[:40]!r}, which is no known speaker")
    if isinstance(content, list):  # OpenAI's parts
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) < len(parts):
            raise ValueError("a message with parts that are not text")
        content = "".join(texts)
    if not isinstance(content, str):
        raise ValueError("a message whose content is not text")
    if len(content) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(content):,} characters, the limit is {MAX_MESSAGE:,}")
    if _NO_TEXT.search(content):
        raise ValueError("a message with characters that are not text (null or half a surrogate)")
    return Message(role, content)


def _turns(field: str, speaker: str, content: str) -> Callable[..., Iterator[list[Message]]]:
    def read(row: Mapping[str, Any]) -> Iterator[list[Message]]:
        turns = row[field]
        if not isinstance(turns, list):
            raise ValueError(f"{field} is not a list")
        if not all(isinstance(turn, Mapping) for turn in turns):
            raise ValueError(f"{field} holds something that is not a message")
        yield [_message(turn.get(speaker), turn.get(content)) for turn in turns]

    return read


def _conversations(row: Mapping[str, Any]) -> Iterator[list[Message]]:
    """ShareGPT; some copies of it name speaker and text as OpenAI does."""
    turns = row["conversations"]
    first = turns[0] if isinstance(turns, list) and turns else {}
    theirs = isinstance(first, Mapping) and "role" in first
    names = ("role", "content") if theirs else ("from", "value")
    return _turns("conversations", *names)(row)


def _pair(question: str, answer: str, more: str = "") -> Callable[..., Iterator[list[Message]]]:
    def read(row: Mapping[str, Any]) -> Iterator[list[Message]]:
        asked = row[question]
        extra = row.get(more) if more else None
        if isinstance(asked, str) and isinstance(extra, str) and extra.strip():
            asked = f"{asked}\n\n{extra}"
        yield [_message("user", asked), _message("assistant", row[answer])]

    return read


def _hc3(row: Mapping[str, Any]) -> Iterator[list[Message]]:
    """One conversation for each of ChatGPT's answers; the people's are not wanted here."""
    answers = row["chatgpt_answers"]
    if not isinstance(answers, list):
        raise ValueError("chatgpt_answers is not a list")
    for answer in answers:
        yield [_message("user", row["question"]), _message("assistant", answer)]


SHAPES = (
    Shape("OpenAI messages", ("messages",), _turns("messages", "role", "content")),
    Shape("ShareGPT", ("conversations",), _conversations),
    Shape("chat logs", ("conversation",), _turns("conversation", "role", "content")),
    Shape("HC3", ("question", "chatgpt_answers"), _hc3),
    Shape("Dolly", ("instruction", "response"), _pair("instruction", "response", "context")),
    Shape("Alpaca", ("instruction", "output"), _pair("instruction", "output", "input")),
    Shape("prompts and answers", ("prompt", "answer"), _pair("prompt", "answer")),
    Shape("prompts and responses", ("prompt", "response"), _pair("prompt", "response")),
)
"""In the order they are tried; the first whose fields are all there is taken."""


def known_shapes() -> str:
    """The shapes and the fields that tell them, in words."""
    return "; ".join(f"{shape.name}: {', '.join(shape.fields)}" for shape in SHAPES)
