"""Conversations that branch, of which one path is read: OASST's trees and ChatGPT's own export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imitation.data.sources.messages import Said, message

_ASIDE = ("thoughts", "reasoning_recap", "user_editable_context", "model_editable_context")
"""Kinds of messages in ChatGPT's export that are no turn of the conversation."""
_MOST = 2_000
"""Messages of one path; a longer one goes in a circle."""


def oasst(row: Mapping[str, Any]) -> Iterator[list[Said]]:
    """The best-ranked path of a tree: at each message the reply of the lowest rank.

    Replies that were not ranked come after those that were, in their order; deleted ones are
    passed over.

    Raises:
        ValueError: What is wrong with it, in words.
    """
    node, path = row["prompt"], list[Said]()
    while node is not None and len(path) < _MOST:
        if not isinstance(node, Mapping):
            raise ValueError("prompt is not the root of a tree")
        path.append(message(node.get("role"), node.get("text")))
        replies = node.get("replies") or []
        if not isinstance(replies, list):
            raise ValueError("replies is not a list")
        left = [one for one in replies if isinstance(one, Mapping) and not one.get("deleted")]
        node = min(left, key=_rank, default=None)
    yield path


def _rank(node: Mapping[str, Any]) -> float:
    rank = node.get("rank")
    return rank if isinstance(rank, (int, float)) else float("inf")


def chatgpt_export(row: Mapping[str, Any]) -> Iterator[list[Said]]:
    """The path to the current message of a conversation that ChatGPT exported.

    Without one it is the newest: at each message the last reply. What the page does not show
    (weight 0, system messages without text) is left out.

    Raises:
        ValueError: What is wrong with it, in words.
    """
    nodes = row["mapping"]
    if not isinstance(nodes, Mapping) or not all(isinstance(n, Mapping) for n in nodes.values()):
        raise ValueError("mapping is no table of messages")
    at, path = row.get("current_node"), list[Mapping[str, Any]]()
    at = at if isinstance(at, str) and at in nodes else _newest(nodes)
    while isinstance(at, str) and at in nodes and len(path) < _MOST:
        path.append(nodes[at])
        at = nodes[at].get("parent")
    said = [node["message"] for node in reversed(path) if isinstance(node.get("message"), Mapping)]
    yield [_said(one) for one in said if not _hidden(one)]


def _newest(nodes: Mapping[str, Any]) -> str | None:
    at = next((key for key, node in nodes.items() if node.get("parent") not in nodes), None)
    for _ in range(_MOST):
        children = nodes[at].get("children") if at is not None else None
        if not isinstance(children, list) or not children or children[-1] not in nodes:
            break
        at = children[-1]
    return at


def _content(said: Mapping[str, Any]) -> Mapping[str, Any]:
    content = said.get("content")
    return content if isinstance(content, Mapping) else {}


def _hidden(said: Mapping[str, Any]) -> bool:
    meta = said.get("metadata")
    if isinstance(meta, Mapping) and meta.get("is_visually_hidden_from_conversation"):
        return True
    if _content(said).get("content_type") in _ASIDE:
        return True
    system = _speaker(said) == "system"
    return said.get("weight") == 0 or (system and not any(_content(said).get("parts") or ()))


def _speaker(said: Mapping[str, Any]) -> object:
    author = said.get("author")
    return author.get("role") if isinstance(author, Mapping) else None


def _said(said: Mapping[str, Any]) -> Said:
    kind = _content(said).get("content_type")
    if kind not in (None, "text", "multimodal_text"):
        raise ValueError(f"a message of {str(kind)[:40]!r}, which is not text")
    parts = _content(said).get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError("a message with parts that are not text")
    return message(_speaker(said), "\n".join(parts))
