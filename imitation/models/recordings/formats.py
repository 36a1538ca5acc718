"""What the rows of each format of recorded outputs mean.

| format | a row |
| --- | --- |
| ours | `{"prompt", "answers": {model: text}, "category"?, "id"?, "earlier"?: [user messages]}` |
| FastChat questions | `{"question_id", "text" or "turns": [...], "category"?}` |
| FastChat answers | `{"question_id", "model_id", "text" or "choices": [{"turns": [...]}]}` |
| AlpacaEval outputs | `{"instruction", "input"?, "output", "generator", "dataset"?}` |
| MT-bench judgments | `{"question_id", "model_a", "model_b", "conversation_a", "conversation_b"}` |

A parser returns what its row says, or raises RowError; problems that leave part of a row usable
go into the list it is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Fields = Mapping[str, Any]

_FAILED = "$ERROR$"
"""What FastChat writes as the answer where the model's API failed."""
_NO_INPUT = frozenset(("", "<noinput>", "<no input>", "no input", "noinput"))
"""What Alpaca's files have as the input of an instruction that needs none."""


class RowError(ValueError):
    """Nothing of the row is usable, and why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: the model, the turn it answers (from 0) and its text."""

    model: str
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """What one row says.

    Attributes:
        id: The question's id, None where the format has none and the wording identifies it.
        turns: The user's messages, each a prompt; None where they are in another file.
        category: "" where not given.
        replies: Answers in the row.
        earlier: The user's messages before the first turn, themselves no prompts.
    """

    id: str | None
    turns: tuple[str, ...] | None
    category: str = ""
    replies: tuple[Reply, ...] = ()
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """One format: its name, the fields that give it away, how a row is read.

    Attributes:
        name: What people read.
        signs: Any of these fields marks a row of this format.
        parse: (row, problems, model name where the row has none) -> Item.
        answers: False for a file of questions alone.
        repeats: The same answer may come again, as it does in one row per judgment.
    """

    name: str
    signs: frozenset[str]
    parse: Callable[[Fields, list[str], str], Item]
    answers: bool = True
    repeats: bool = False


def usable(value: object, name: str, *, empty: bool = False) -> str:
    """`value` as text that can be stored and shown.

    An answer may be empty: the model said nothing, which is not the same as no answer.

    Raises:
        RowError: Missing, no text, empty where it must not be, or with a null byte in it.
    """
    if value is None:
        raise RowError(f"{name} is missing")
    if not isinstance(value, str):
        raise RowError(f"{name} should be text, not {_kind(value)}")
    if not empty and not value.strip():
        raise RowError(f"{name} is empty")
    if "\0" in value:
        raise RowError(f"{name} contains a null byte")
    return value


def _answer(value: object, name: str) -> str:
    """`value` as an answer, which may be empty.

    Raises:
        RowError: As `usable`, or it says that there was none.
    """
    text = usable(value, name, empty=True)
    if text.strip() == _FAILED:
        raise RowError(f"{name} is {_FAILED}: the model could not be asked")
    return text


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return type(value).__name__


def _identifier(row: Fields, name: str) -> str:
    value = row.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return usable(value, repr(name)).strip()


def _label(row: Fields, name: str) -> str:
    """An optional short text, "" where absent."""
    value = row.get(name)
    return "" if value in (None, "") else usable(value, repr(name)).strip()


def _list(value: object, name: str) -> list[Any]:
    if value is None:
        raise RowError(f"{name} is missing")
    if not isinstance(value, list):
        raise RowError(f"{name} should be a list, not {_kind(value)}")
    if not value:
        raise RowError(f"{name} is empty")
    return value


def _ours(row: Fields, problems: list[str], _: str) -> Item:
    given = row.get("earlier")
    earlier = tuple(
        usable(text, "an item of 'earlier'")
        for text in (_list(given, "'earlier'") if given else ())
    )
    prompt = usable(row.get("prompt"), "'prompt'")
    answers = row.get("answers")
    if not isinstance(answers, dict) or not answers:
        raise RowError("'answers' should be an object of model names and texts")
    replies = []
    for model, text in answers.items():
        try:
            name = usable(model, "a model name").strip()
            replies.append(Reply(name, 0, _answer(text, f"the answer of {name!r}")))
        except RowError as error:
            problems.append(str(error))
    key = _identifier(row, "id") if row.get("id") is not None else None
    return Item(key, (prompt,), _label(row, "category"), tuple(replies), earlier)


def _question(row: Fields, _: list[str], __: str) -> Item:
    if row.get("turns") is not None:
        turns = tuple(usable(t, "an item of 'turns'") for t in _list(row["turns"], "'turns'"))
    else:
        turns = (usable(row.get("text"), "'text' (or 'turns')"),)
    return Item(_identifier(row, "question_id"), turns, _label(row, "category"))


def _fastchat_answer(row: Fields, problems: list[str], model: str) -> Item:
    question = _identifier(row, "question_id")
    name = _label(row, "model_id") or model
    if row.get("choices") is None:
        text = _answer(row.get("text"), "'text' (or 'choices')")
        return Item(question, None, replies=(Reply(name, 0, text),))
    first = _list(row["choices"], "'choices'")[0]
    if not isinstance(first, dict):
        raise RowError(f"an item of 'choices' should be an object, not {_kind(first)}")
    replies = []
    for turn, text in enumerate(_list(first.get("turns"), "'turns' of the first choice")):
        try:
            replies.append(Reply(name, turn, _answer(text, f"the answer of turn {turn + 1}")))
        except RowError as error:
            problems.append(str(error))
    return Item(question, None, replies=tuple(replies))


def _alpaca_eval(row: Fields, _: list[str], model: str) -> Item:
    asked = usable(row.get("instruction"), "'instruction'")
    given = row.get("input")
    if given is not None and str(given).strip().rstrip(".").lower() not in _NO_INPUT:
        # As Alpaca's and AlpacaEval's own code joins the two.
        asked = f"{asked}\n\n{usable(given, repr('input'))}"
    turns = (asked,)
    text = _answer(row.get("output"), "'output'")
    reply = Reply(_label(row, "generator") or model, 0, text)
    return Item(None, turns, _label(row, "dataset"), (reply,))


def _judgment(row: Fields, problems: list[str], _: str) -> Item:
    question = _identifier(row, "question_id")
    asked: tuple[str, ...] = ()
    replies = []
    for side in "ab":
        name = usable(row.get(f"model_{side}"), f"'model_{side}'").strip()
        turns = []
        for message in _list(row.get(f"conversation_{side}"), f"'conversation_{side}'"):
            where = f"a message of 'conversation_{side}'"
            if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
                raise RowError(f"{where} should be an object with the role user or assistant")
            if message["role"] == "user":
                turns.append(usable(message.get("content"), where))
                continue
            try:
                replies.append(Reply(name, len(turns) - 1, _answer(message.get("content"), where)))
            except RowError as error:
                problems.append(f"{name}: {error}")
        if not turns or any(reply.turn < 0 for reply in replies):
            raise RowError(f"'conversation_{side}' should begin with the user")
        if asked and tuple(turns) != asked:
            raise RowError("the two conversations have different questions")
        asked = tuple(turns)
    return Item(question, asked, replies=tuple(replies))


OURS = Format("our JSONL", frozenset({"prompt", "answers"}), _ours)
JUDGMENTS = Format(
    "MT-bench judgments",
    frozenset({"conversation_a", "conversation_b", "model_a", "model_b"}),
    _judgment,
    repeats=True,
)
ALPACA_EVAL = Format(
    "AlpacaEval outputs", frozenset({"instruction", "output", "generator"}), _alpaca_eval
)
FASTCHAT_ANSWERS = Format(
    "FastChat answers", frozenset({"choices", "model_id", "answer_id"}), _fastchat_answer
)
FASTCHAT_QUESTIONS = Format(
    "FastChat questions", frozenset({"question_id", "turns"}), _question, answers=False
)
FORMATS = (OURS, JUDGMENTS, ALPACA_EVAL, FASTCHAT_ANSWERS, FASTCHAT_QUESTIONS)
"""In the order they are tried: an answer also has the fields of a question."""


_REVIEWS = frozenset({"review_id", "judgment"})
"""Fields of FastChat's judgments of single answers, which are neither questions nor answers."""


def recognise(rows: Iterable[Fields], *, answers: bool | None = None) -> Format | None:
    """The format most rows have, None where none has a known one.

    Args:
        rows: Rows of one file.
        answers: True or False where the file is known to hold answers or questions: FastChat's
            answers without a model name look like questions.
    """
    seen = Counter(_format(row) for row in rows)
    del seen[None]
    if not seen:
        return None
    found = seen.most_common(1)[0][0]
    return FASTCHAT_ANSWERS if found is FASTCHAT_QUESTIONS and answers else found


def _format(row: Fields) -> Format | None:
    if not _REVIEWS.isdisjoint(row):
        return None
    return next((kind for kind in FORMATS if not kind.signs.isdisjoint(row)), None)
