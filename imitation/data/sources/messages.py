"""Turns of a conversation as data sets write them, and what a model can learn from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from imitation.values import Speaker

MAX_MESSAGE = 1_000_000
"""Characters of one message; longer ones are refused."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_SPEAKERS: dict[str, Speaker] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
_MODELS = re.compile(r"(chat-?)?gpt[-\w.]*|claude[-\w.]*|bing|bard|gemini[-\w.]*|llama[-\w.]*")
"""Speakers that are named by their model."""
_NO_INPUT = re.compile(r"<?no\s?-?input>?\.?|n/a", re.IGNORECASE)
_NO_OUTPUT = re.compile(r"<no\s?-?output>\.?", re.IGNORECASE)
_SYSTEM = ("system", "system_prompt", "system_message")
_WHO = ("role", "from", "speaker", "author")
_WHAT = ("content", "value", "text")


class Said(NamedTuple):
    """A message as its row has it; not `learned` where the row gives it the weight 0."""

    role: Speaker
    content: str
    learned: bool = True


Read = Callable[[Mapping[str, Any]], Iterator[list[Said]]]
"""The conversations of a row.

Raises:
    ValueError: What is wrong with it, in words.
"""


def is_text(text: str) -> bool:
    """Whether all of it is characters: no null, no half of a surrogate pair."""
    return "\0" not in text if text.isascii() else _NO_TEXT.search(text) is None


def in_turns(messages: Sequence[Said]) -> tuple[Said, ...]:
    """Turns that a model can learn from: user and assistant alternate, an answer comes last.

    An opening by the assistant and questions left unanswered at the end are cut off. Several
    messages of the system at the beginning are one.

    Raises:
        ValueError: There is no answer to learn, or the turns don't alternate.
    """
    at = next((n for n, m in enumerate(messages) if m.role != "system"), len(messages))
    system = "\n\n".join(m.content for m in messages[:at] if m.content.strip())
    turns = list(messages[at:])
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
        if turn.role == "assistant" and _NO_OUTPUT.fullmatch(turn.content.strip()):
            raise ValueError(f"turn {at + 1} is no answer ({turn.content.strip()})")
    if not any(turn.learned for turn in turns if turn.role == "assistant"):
        raise ValueError("no assistant turn has a weight over 0")
    return (*([Said("system", system)] if system else []), *turns)


def message(speaker: object, content: object, learned: bool = True) -> Said:
    """A message by whoever is called so; parts of text are joined.

    Raises:
        ValueError: No known speaker, or no text.
    """
    called = str(speaker).strip().lower()[:80]
    role = _SPEAKERS.get(called) or ("assistant" if _MODELS.fullmatch(called) else None)
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
    if not is_text(content):
        raise ValueError("a message with characters that are not text (null or half a surrogate)")
    return Said(role, content, learned)


def row_system(row: Mapping[str, Any]) -> Said | None:
    """The system prompt that a row has beside its turns."""
    texts = (text for key in _SYSTEM if isinstance(text := row.get(key), str) and text.strip())
    found = next(texts, None)
    return None if found is None else message("system", found)


def listed(field: str) -> Read:
    """Reads a list of messages, or of texts by user and assistant in turn; also as JSON text."""

    def read(row: Mapping[str, Any]) -> Iterator[list[Said]]:
        yield _messages(row[field], field)

    return read


def pair(question: str, answer: str, more: str = "") -> Read:
    """Reads a question, with what belongs to it, and its answer, behind the row's `history`."""

    def read(row: Mapping[str, Any]) -> Iterator[list[Said]]:
        asked, said = row[question], row[answer]
        if _is_talk(asked) or _is_talk(said):
            yield [*_side(asked, question, "user"), *_side(said, answer, "assistant")]
            return
        extra = row.get(more) if more else None
        if isinstance(asked, str) and isinstance(extra, str) and not _empty(extra):
            asked = f"{asked}\n\n{extra}" if asked.strip() else extra
        yield [*_history(row), message("user", asked), message("assistant", said)]

    return read


def several(question: str, answers: str) -> Read:
    """Reads a question with several answers: a conversation for each that is not empty."""

    def read(row: Mapping[str, Any]) -> Iterator[list[Said]]:
        given = _listed(row[answers], answers)
        said = [one for one in given if not (one is None or (isinstance(one, str) and _empty(one)))]
        if given and not said:
            raise ValueError(f"{answers} holds no answer that is not empty")
        for answer in said:
            yield [message("user", row[question]), message("assistant", answer)]

    return read


def _messages(value: object, field: str) -> list[Said]:
    found = _listed(value, field)
    if found and all(isinstance(turn, str) for turn in found):
        names = ("user", "assistant")
        return [message(names[at % 2], text) for at, text in enumerate(found)]
    if not all(isinstance(turn, Mapping) for turn in found):
        raise ValueError(f"{field} holds something that is not a message")
    return [_turn(turn) for turn in found]


def _turn(turn: Mapping[str, Any]) -> Said:
    who = next((turn[key] for key in _WHO if turn.get(key) is not None), None)
    what = next((turn[key] for key in _WHAT if turn.get(key) is not None), None)
    return message(who, what, learned=turn.get("weight") != 0)  # OpenAI's: 1 or 0


def _listed(value: object, field: str) -> list[Any]:
    """A list, also where it stands as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"{field} is a text that is no JSON list") from None
    if not isinstance(value, list):
        raise ValueError(f"{field} is not a list")
    return value


def _side(value: object, field: str, speaker: str) -> list[Said]:
    return _messages(value, field) if _is_talk(value) else [message(speaker, value)]


def _is_talk(value: object) -> bool:
    """Whether it is a list of messages, as TRL has prompts and completions."""
    return isinstance(value, list) and any(
        isinstance(one, Mapping) and "role" in one for one in value
    )


def _history(row: Mapping[str, Any]) -> list[Said]:
    """LLaMA-Factory's earlier turns: a list of (question, answer)."""
    history = row.get("history")
    if history is None or history in ("", []):
        return []
    found = []
    for turn in _listed(history, "history"):
        if isinstance(turn, Mapping):
            found.append(_turn(turn))
        elif isinstance(turn, list) and len(turn) == 2:
            found += [message("user", turn[0]), message("assistant", turn[1])]
        else:
            raise ValueError("history holds something that is no question with its answer")
    return found


def _empty(text: str) -> bool:
    return not text.strip() or _NO_INPUT.fullmatch(text.strip()) is not None
