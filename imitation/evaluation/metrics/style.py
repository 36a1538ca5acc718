"""Style of answers: how alike two answers look, whatever they say.

One implementation of each metric, used by the page, the commands and the figures. All functions
are pure; `STYLE_DEFINITIONS` says the same in words, for tooltips and documentation.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

STYLE_DEFINITIONS: dict[str, str] = {
    "unigram_intersection": (
        "Words the two answers share, counted with repetition, over the word count of the longer "
        "one. Words are lower-cased runs of letters, digits and underscores."
    ),
    "length_correlation": (
        "Pearson correlation between the word counts of the model's answers and those of the "
        "reference's answers to the same prompts."
    ),
    "list_agreement": (
        "Of the prompts where the reference answers with a list, the share where the model does "
        "too. A list is at least two lines that begin with a bullet or a number (-, *, •, 1., 2)), "
        "in bold or as a heading too; the dash of dialogue is no bullet."
    ),
    "summary_agreement": (
        "Of the prompts where the reference ends with a closing summary, the share where the model "
        "does too. A closing summary is the last of at least two paragraphs, opening with a "
        "summing-up phrase such as 'overall' or 'in conclusion', or under a heading that does; an "
        "offer of more help after it ('Let me know ...') is left out."
    ),
    "length": "Words in the answer, and their ratio to the words in the reference's answer.",
}

_WORD = re.compile(r"\w+")
# A hyphen, star or plus needs a space and some text after it, so that rules (---), bold (**a**)
# and negative numbers are no bullets; a number needs its point and a space, so that sums (3x, 2.5)
# are no lists. En and em dashes begin lines of dialogue.
_ITEM = re.compile(
    r"^[ \t>]*(?:"
    r"(?:#{1,6}[ \t]+)?(?:\*{2,3}|__)?"
    r"(?:[-*+][ \t]+(?=.*\w)|[•‣◦▪●·∙]|\(?\d{1,3}[.):](?:\*\*|__)?[ \t])"
    r"|(?:#{1,6}[ \t]+(?:\*\*|__)?|\*\*|__)\(?\d{1,3}[.):](?:\*\*|__)?[ \t\r]*$)",
    re.MULTILINE,
)
_HEADING_NUMBER = re.compile(r"^((?:#{1,6}[ \t]+|\*\*|__)+)\d{1,3}[.)][ \t]*")
_PARAGRAPH_BREAK = re.compile(r"\n[ \t\r]*\n")
_MARKUP = "*_#>`\"' \t\r\n"
_LONGEST_HEADING, _LONGEST_OFFER = 60, 300
"""Characters; a longer paragraph says more than that."""


@dataclass(frozen=True, slots=True)
class Strip:
    """One answer's style against the reference's answer to the same prompt.

    Attributes:
        unigram_intersection: Share of words in common, 0 to 1; None when both are empty.
        words: Words in the answer.
        reference_words: Words in the reference's answer.
        length_ratio: `words / reference_words`; None when the reference is empty.
        lists: The answer is a list.
        list_agreement: `lists` where the reference lists, None where it does not.
        summary: The answer ends with a closing summary.
        summary_agreement: `summary` where the reference has one, None where it has not.
    """

    unigram_intersection: float | None
    words: int
    reference_words: int
    length_ratio: float | None
    lists: bool
    list_agreement: bool | None
    summary: bool
    summary_agreement: bool | None


def words(text: str) -> list[str]:
    r"""Lower-cased runs of `\w`, in order."""
    return _WORD.findall(text.lower())


def word_count(text: str) -> int:
    """Number of words, as `words` finds them."""
    return len(words(text))


def unigram_intersection(a: str, b: str) -> float | None:
    """Multiset intersection of the two answers' words over the larger word count.

    Symmetric, 0 to 1; 0 when one answer has no words, None when neither has.
    """
    return _intersection(Counter(words(a)), Counter(words(b)))


def is_list(text: str) -> bool:
    """Whether at least two lines begin with a bullet or a number."""
    first = _ITEM.search(text)
    return first is not None and _ITEM.search(text, first.end()) is not None


def list_items(text: str) -> int:
    """How many lines begin with a bullet or a number."""
    return sum(1 for _ in _ITEM.finditer(text))


def has_closing_summary(text: str) -> bool:
    """Whether the last of at least two paragraphs opens with a summing-up phrase.

    Paragraphs are parted by blank lines; Markdown signs before the phrase are ignored. The phrase
    may be a heading of its own before the paragraph, numbered or not; offers of more help after it
    are left out. The phrases are shipped in `closing_phrases.json`.
    """
    summing, offering = _openings("phrases"), _openings("offers")
    parts = (p.strip() for p in _PARAGRAPH_BREAK.split(text.strip()) if _WORD.search(p))
    paragraphs = [_HEADING_NUMBER.sub(r"\1", part).strip(_MARKUP) for part in parts]
    while len(paragraphs) > 1 and _is_offer(paragraphs[-1], offering):
        paragraphs.pop()
    if len(paragraphs) < 2:
        return False
    heading = paragraphs[-2] if len(paragraphs) > 2 else ""
    return bool(summing.match(paragraphs[-1])) or (
        len(heading) <= _LONGEST_HEADING
        and "\n" not in heading
        and not heading.endswith((".", "!", "?"))
        and bool(summing.match(heading))
    )


def _is_offer(paragraph: str, offering: re.Pattern[str]) -> bool:
    return bool(offering.match(paragraph)) and len(paragraph) <= _LONGEST_OFFER


def length_correlation(lengths_a: Sequence[float], lengths_b: Sequence[float]) -> float | None:
    """Pearson correlation of paired lengths (words); None below two pairs or without variance.

    Raises:
        ValueError: The two sequences differ in length.
    """
    if len(lengths_a) != len(lengths_b):
        raise ValueError(f"{len(lengths_a)} lengths against {len(lengths_b)}: pairs are needed")
    a = np.asarray(lengths_a, dtype=float)
    b = np.asarray(lengths_b, dtype=float)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0))


def compare(answer: str, reference: str) -> Strip:
    """Style of `answer` against the reference's answer to the same prompt."""
    ours, theirs = Counter(words(answer)), Counter(words(reference))
    n, reference_n = ours.total(), theirs.total()
    lists, summary = is_list(answer), has_closing_summary(answer)
    return Strip(
        unigram_intersection=_intersection(ours, theirs),
        words=n,
        reference_words=reference_n,
        length_ratio=n / reference_n if reference_n else None,
        lists=lists,
        list_agreement=lists if is_list(reference) else None,
        summary=summary,
        summary_agreement=summary if has_closing_summary(reference) else None,
    )


def _intersection(a: Counter[str], b: Counter[str]) -> float | None:
    larger = max(a.total(), b.total())
    return (a & b).total() / larger if larger else None


@cache
def _openings(key: str) -> re.Pattern[str]:
    text = files("imitation.evaluation.metrics").joinpath("closing_phrases.json").read_text("utf-8")
    # Typographic apostrophes are written as often as plain ones.
    phrases = (re.escape(phrase).replace("'", "['\u2019]") for phrase in json.loads(text)[key])
    return re.compile(rf"(?:{'|'.join(phrases)})\b", re.IGNORECASE)
