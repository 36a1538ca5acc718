"""The language filter on real questions, other languages and what is no language."""

import json
from pathlib import Path

import pytest

from imitation.data.steps.language import keep_languages, language_of
from imitation.errors import UserError
from imitation.facts import facts_of
from imitation.values import Example, Message
from tests.data.language_prompts import ENGLISH
from tests.data.language_prompts import OTHERS as FOREIGN

DATA = Path(__file__).parents[3] / "imitation" / "data"
OTHERS = {
    "de": "Wie lange muss ich ein Ei kochen, damit das Eigelb noch weich ist?",
    "fr": "Pouvez-vous m'expliquer pourquoi le ciel est bleu pendant la journée ?",
    "es": "¿Cuáles son los mejores libros para aprender historia de España?",
    "it": "Scrivi una lettera di ringraziamento ai miei nonni per il regalo.",
    "pt": "Quais são as principais diferenças entre um gato e um cachorro?",
    "nl": "Kun je mij uitleggen hoe een wasmachine precies werkt?",
    "pl": "Proszę napisać krótkie opowiadanie o psie i kocie.",
    "ru": "Объясни мне, пожалуйста, как работает двигатель внутреннего сгорания.",
    "zh": "请告诉我怎样才能学好中文\uff0c谢谢你的帮助。",
    "ja": "日本の首都はどこですか。詳しく説明してください。",
    "ar": "اشرح لي كيف تعمل الطائرة من فضلك بطريقة بسيطة.",
    "hi": "कृपया मुझे बताइए कि सूर्य ग्रहण कैसे होता है।",
    "ko": "김치찌개를 맛있게 끓이는 방법을 알려 주세요.",
}


def asked(query, answer="Yes."):
    return Example((Message("user", query), Message("assistant", answer)), id=query[:20])


def english():
    rows = [
        json.loads(line)["prompt"]
        for name in ("broad_prompts.jsonl", "style_prompts.jsonl")
        for line in (DATA / name).read_text("utf-8").splitlines()
    ]
    return rows + [fact.question for fact in facts_of("evaluate")]


@pytest.mark.slow
def test_english_stays():
    examples = [asked(query) for query in english()]
    outcome = keep_languages(examples, ["en"])
    assert len(outcome.kept) >= 0.99 * len(examples), outcome.dropped


@pytest.mark.parametrize("code", OTHERS)
def test_others_go(code):
    example = asked(OTHERS[code])
    assert language_of(example) == code
    outcome = keep_languages([example], ["en"])
    assert not outcome.kept
    assert outcome.reasons == {f"language {code}": 1}
    assert outcome.dropped[0].detail == OTHERS[code][:80]
    assert keep_languages([example], ["en", code]).kept == [example]


def test_a_few_words_of_another_language_change_nothing():
    """By the queries alone, which is the hardest; with an answer behind them short ones gain."""
    kept = [query for query in ENGLISH if language_of(asked(query, "")) == "en"]
    assert len(kept) >= 0.95 * len(ENGLISH), set(ENGLISH) - set(kept)
    taken = [query for query in FOREIGN if language_of(asked(query, "")) == "en"]
    assert len(taken) <= 0.03 * len(FOREIGN), taken


def test_dialects_are_read_as_the_language_people_name():
    query = "I no sabi wetin to do for dis matter, abeg help me"
    assert language_of(asked(query)) == "en"
    assert keep_languages([asked(query)], ["en"]).kept


def test_code_is_no_language_and_short_queries_are_judged_with_their_answer():
    assert language_of(asked("2 + 2 = ?", "4")) == "und"
    assert keep_languages([asked("```\nprint(1)\n```", "1")], ["en"]).kept
    assert language_of(asked("Paris?", OTHERS["fr"])) == "fr"
    fenced = "Why does this fail?\n```python\nfür = eins(zwei)\n```"
    assert language_of(asked(fenced, "Because the name is not defined.")) == "en"


def test_a_megabyte_takes_no_longer_than_its_beginning():
    assert language_of(asked(OTHERS["de"] * 15_000)) == "de"


def test_unknown_codes_are_named():
    with pytest.raises(UserError, match="english"):
        keep_languages([], ["english"])
