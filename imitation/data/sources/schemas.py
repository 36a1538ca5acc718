"""The shapes conversations come in, told apart by their fields, and how each becomes ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imitation.data.sources import trees
from imitation.data.sources.messages import (
    Read,
    Said,
    in_turns,
    is_text,
    listed,
    pair,
    row_system,
    several,
)
from imitation.data.sources.metadata import meta_of
from imitation.values import Example, Message

_IDS = ("id", "conversation_id", "conversation_hash", "prompt_id", "question_id", "message_tree_id")


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
    read: Read


SHAPES = (
    Shape("OpenAI messages", ("messages",), listed("messages")),
    Shape("ShareGPT", ("conversations",), listed("conversations")),
    Shape("ShareGPT items", ("items",), listed("items")),
    Shape("chat logs", ("conversation",), listed("conversation")),
    Shape("ChatGPT export", ("mapping",), trees.chatgpt_export),
    Shape("OASST trees", ("prompt", "message_tree_id"), trees.oasst),
    Shape("HC3", ("question", "chatgpt_answers"), several("question", "chatgpt_answers")),
    Shape("Dolly", ("instruction", "response"), pair("instruction", "response", "context")),
    Shape("Alpaca", ("instruction", "output"), pair("instruction", "output", "input")),
    Shape("prompts and completions", ("prompt", "completion"), pair("prompt", "completion")),
    Shape("prompts and answers", ("prompt", "answer"), pair("prompt", "answer")),
    Shape("prompts and responses", ("prompt", "response"), pair("prompt", "response")),
    Shape("queries and responses", ("query", "response"), pair("query", "response")),
    Shape("Orca", ("question", "response"), pair("question", "response")),
    Shape("questions and answers", ("question", "answer"), pair("question", "answer")),
    Shape("UltraChat", ("data",), listed("data")),
)
"""In the order they are tried; the first whose fields are all there is taken."""


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
        place: What stands for its id where it has none that is text.

    Raises:
        ValueError: What is wrong with it, in words.
    """
    system = row_system(row)
    found = [in_turns(_opened(messages, system)) for messages in shape.read(row)]
    if not found:
        raise ValueError("no assistant turn")
    ids = (str(row[key]) for key in _IDS if isinstance(row.get(key), (str, int)) and row[key] != "")
    name = next((one for one in ids if len(one) < 1000 and is_text(one)), place)
    meta = meta_of(row)
    many = len(found) > 1
    return [
        Example(
            tuple(Message(one.role, one.content) for one in turns),
            source,
            f"{name}/{at}" if many else name,
            meta,
            tuple(n for n, one in enumerate(turns) if not one.learned),
        )
        for at, turns in enumerate(found, 1)
    ]


def _opened(messages: Sequence[Said], system: Said | None) -> Sequence[Said]:
    """The turns behind the row's system prompt, unless they begin with one of their own."""
    own = bool(messages) and messages[0].role == "system" and messages[0].content.strip()
    return messages if own or system is None else [system, *messages]


def known_shapes() -> str:
    """The shapes and the fields that tell them, in words."""
    return "; ".join(f"{shape.name}: {', '.join(shape.fields)}" for shape in SHAPES)
