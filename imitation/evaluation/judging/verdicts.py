"""The verdict in a judge's answer, in the forms that judges were seen to write.

A number or letter counts only where it stands as a verdict: alone on the first or last line, in the
marks a rubric asks for, as a field of JSON, or named as an assistant's score. Whatever else an
answer says is no verdict; it is kept and counted, never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imitation.data.steps.filters import refusal
from imitation.evaluation.thinking import without_thoughts
from imitation.values import Outcome, Verdict

LOWEST, HIGHEST = 0.0, 10.0
"""Scores outside are no scores: worked solutions are full of numbers."""

_N = r"[*`_]*(-?\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*10\b)?[*`_]*"
_NAMED = r"(?:assistant\s*[12]|(?:assistant\s*)?[AB])\s*[:=]"
_WHO = r"(?:assistant|answer|response|model)"
_TWO = re.compile(
    rf"[^\w-]*(?:scores?[^\w-]*)?(?:{_NAMED}\W*)?{_N}"
    rf"(?:\s*[,;|&]\s*|\s+and\s+|\s+)(?:{_NAMED}\W*)?{_N}[\s.)\]*`_}}]*",
    re.IGNORECASE,
)
_TUPLE = re.compile(
    rf"(?:tuple|scores?|output|ratings?)\W+(?:(?:is|are|would be)\W+)?\(\s*{_N}\s*,\s*{_N}\s*\)",
    re.IGNORECASE,
)
# "Assistant 2: 4", "Assistant A a score of 10"; then the end, a stop or a bracket, so that the
# beginning of an answer quoted after "Assistant 1:" is no score.
_ONE = re.compile(
    r"\bassistant\s*([12ab])\b(?:'s)?[*`\s]*(?:\b(?:a |overall )?score\b(?: of)?\s*)?"
    rf"[:=]?[*`\s]*{_N}"
    rf"(?=[*`\s]*(?:$|\(|\.\s+[A-Z]|[.,;]?[*\s]*(?:and\s+|while\s+)?assistant\b|[.,;]\s*$))",
    re.IGNORECASE | re.MULTILINE,
)
_CHOICE = re.compile(
    r"\[\[\s*(a|b|c|tie)\s*\]\]|\[\[\s*(a\s*[<>=]+\s*b|b\s*[<>=]+\s*a)\s*\]\]", re.I
)
# "A", "**B**", "Verdict: A", "The winner is Assistant B."; a small a is an article.
_BARE = re.compile(
    r"[\W_]*(?:(?i:my |the )?(?i:final |overall )?(?i:verdict|winner|decision|judge?ment|"
    rf"preference|better(?: answer| one)?)[\W_]*(?i:is)?[\W_]*)?(?i:{_WHO}\s+)?"
    r"(A|B|C|(?i:tie|draw|equal))(?i:\s+(?:is better|wins))?[\W_]*"
)
_YES_NO = re.compile(r"\[\[\s*(yes|no)\s*\]\]", re.IGNORECASE)
# "Yes, ...", "**No**"; not "No doubt".
_WORD = re.compile(r"\W*(yes|no)\W*(?:[.,:;!)*\]\u2014-].*)?", re.IGNORECASE)
_CHOSEN: Mapping[str, Outcome] = {
    "a": "first", "b": "second", "c": "tie", "tie": "tie", "draw": "tie", "equal": "tie",
    "1": "first", "2": "second",
}  # fmt: skip
_FIELD = re.compile(
    r"(?:.*(?:assistant|score|rating|model|answer|response)[_\s-]*)?([12ab])(?:[_\s-]*(?:score|rating))?",
    re.IGNORECASE,
)
_VERDICTS = ("verdict", "winner", "choice", "decision", "judgment", "judgement", "preference",
             "better", "best")  # fmt: skip


def parse(text: str) -> Verdict:
    """The verdict in a judge's answer on two answers.

    What stands in `<think>` is dropped. Read are, in this order: a first or last line of nothing
    but two scores (FastChat's format); [[A]], [[B]], [[C]], [[A>B]] and the like, one of them; JSON
    with scores or a winner; scores named as a tuple, or assistant by assistant, as they stand after
    a worked solution, the last of each counts; a first or last line of nothing but a letter.
    """
    lines = _lines(text)
    if not lines:
        return Verdict(None, problem="empty answer")
    whole = "\n".join(lines)
    if scores := _scores(lines):
        return _by_scores(*scores)
    chosen = {_outcome(match) for match in _CHOICE.finditer(whole)}
    if not chosen:
        objects = list(_json(whole))
        if scores := _json_scores(objects, alone=whole.startswith("{") and whole.endswith("}")):
            return _by_scores(*scores)
        chosen = {choice for value in objects if (choice := _json_choice(value))}
    if not chosen:
        if scores := _named_scores(whole):
            return _by_scores(*scores)
        ends = (match for line in (lines[0], lines[-1]) if (match := _BARE.fullmatch(line)))
        chosen = {_CHOSEN[match[1].lower()] for match in ends}
    if chosen:
        # A model that repeats what it was told names all of them.
        outcome = chosen.pop() if len(chosen) == 1 else None
        return Verdict(outcome, problem="" if outcome else "several verdicts")
    return Verdict(None, problem=_why_none(whole))


def parse_one(text: str) -> Verdict:
    """Yes or no in a judge's answer on a single answer.

    What stands in `<think>` is dropped. Read are [[yes]] or [[no]], one of them; JSON with a field
    that says so; else a first or last line that begins with the word.
    """
    lines = _lines(text)
    if not lines:
        return Verdict(None, problem="empty answer")
    whole = "\n".join(lines)
    answers = {word.lower() for word in _YES_NO.findall(whole)}
    if not answers:
        values = [value for fields in _json(whole) for value in fields.values()]
        words = {True: "yes", False: "no"}
        texts = (words[v] if isinstance(v, bool) else str(v).strip().lower() for v in values)
        answers = {word for word in texts if word in ("yes", "no")}
    if not answers:
        answers = {m[1].lower() for line in (lines[0], lines[-1]) if (m := _WORD.fullmatch(line))}
    if len(answers) > 1:
        return Verdict(None, problem="several verdicts")
    if answers:
        return Verdict("yes" if answers == {"yes"} else "no")
    return Verdict(None, problem=_why_none(whole))


def _lines(text: str) -> list[str]:
    """What was said, thoughts, empty lines and fences left out."""
    lines = (line.strip() for line in without_thoughts(text).splitlines())
    return [line for line in lines if line and not re.fullmatch(r"(?:`{3,}|~{3,})[\w ]*", line)]


def _why_none(text: str) -> str:
    if text.strip() == "$ERROR$":  # FastChat's word for it
        return "the request failed"
    return "refusal" if refusal(text) else "no verdict in the answer"


def _scores(lines: list[str]) -> tuple[float, float] | None:
    """Two scores alone on the first or last line."""
    for line in (lines[0], lines[-1]):
        if match := _TWO.fullmatch(line):
            return float(match[1]), float(match[2])
    return None


def _named_scores(text: str) -> tuple[float, float] | None:
    if pairs := _TUPLE.findall(text):
        return float(pairs[-1][0]), float(pairs[-1][1])
    each = {_CHOSEN[who.lower()]: float(score) for who, score in _ONE.findall(text)}
    return (each["first"], each["second"]) if len(each) == 2 else None


def _by_scores(first: float, second: float) -> Verdict:
    if min(first, second) < LOWEST or max(first, second) > HIGHEST:
        return Verdict(None, problem=f"scores outside {LOWEST:g} to {HIGHEST:g}")
    outcome: Outcome = "first" if first > second else "second" if second > first else "tie"
    return Verdict(outcome, (first, second))


def _outcome(match: re.Match[str]) -> Outcome:
    """Of [[A]], or of [[A>>B]]."""
    if match[1]:
        return _CHOSEN[match[1].lower()]
    left, sign, _ = re.split(r"([<>=]+)", match[2].lower().replace(" ", ""))
    if "=" in sign:
        return "tie"
    better = left if ">" in sign else "b" if left == "a" else "a"
    return _CHOSEN[better]


def _json(text: str) -> Iterator[Mapping[str, Any]]:
    """JSON objects at the beginning or end of a text; others are quoted from what is judged."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        if isinstance(value, dict) and (not text[:at].strip("` ") or not text[end:].strip("` ")):
            yield value
        at = text.find("{", end)


def _json_scores(
    objects: Sequence[Mapping[str, Any]], *, alone: bool
) -> tuple[float, float] | None:
    """Scores of the last object that has two: as a list, or one field for each answer.

    Fields that are letters or numbers only count where nothing else was said: code has such.
    """
    for fields in reversed(objects):
        for name, value in (("", fields), *fields.items()):
            scores = re.search("score|rating", str(name), re.IGNORECASE)
            if (
                scores
                and isinstance(value, list)
                and len(value) == 2
                and all(map(_is_score, value))
            ):
                return float(value[0]), float(value[1])
            if not isinstance(value, dict):
                continue
            each = {}
            for key, score in value.items():
                who = _FIELD.fullmatch(str(key))
                known = who and (alone or scores or who[1] != str(key))
                if who and known and _is_score(score):
                    each[_CHOSEN[who[1].lower()]] = float(score)
            if len(each) == 2:
                return each["first"], each["second"]
    return None


def _is_score(value: Any) -> bool:
    """Whether it is a number, also as text ("8")."""
    if isinstance(value, str):
        return re.fullmatch(r"\s*-?\d+(?:\.\d+)?\s*", value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json_choice(fields: Mapping[str, Any]) -> Outcome | None:
    """The winner that an object names."""
    for key, value in fields.items():
        if any(word in str(key).lower() for word in _VERDICTS):
            text = str(value).strip().strip("[]").lower()
            who = re.fullmatch(rf"(?:{_WHO}[\s_]*)?([12abc]|tie|draw|equal)", text)
            if who:
                return _CHOSEN[who[1]]
            if match := _CHOICE.fullmatch(f"[[{text}]]"):
                return _outcome(match)
    return None
