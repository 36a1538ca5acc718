import json
import random
import time
from pathlib import Path

import pytest

from imitation.evaluation.metrics import style
from imitation.evaluation.metrics.style_features import features

VICUNA = Path(__file__).parents[4] / "shared" / "reference" / "vicuna80"


def test_words_are_lower_cased_runs_of_word_characters():
    assert style.words("It's 2.5x, NAÏVE_né!\n") == ["it", "s", "2", "5x", "naïve_né"]
    assert style.word_count("") == 0


def test_unigram_intersection_counts_repetition_over_the_longer_answer():
    # min counts: the 1, cat 1 -> 2 of 5 words
    assert style.unigram_intersection("the the the cat sat", "The cat.") == 2 / 5
    assert style.unigram_intersection("a b", "b A") == 1.0
    assert style.unigram_intersection("a", "") == 0.0
    assert style.unigram_intersection("", "...") is None


def test_unigram_intersection_is_symmetric_and_bounded():
    rng = random.Random(0)
    for _ in range(200):
        a = " ".join(rng.choices("abcdef", k=rng.randint(0, 12)))
        b = " ".join(rng.choices("abcdef", k=rng.randint(1, 12)))
        value = style.unigram_intersection(a, b)
        assert value == style.unigram_intersection(b, a)
        assert 0 <= value <= 1


@pytest.mark.parametrize(
    "text",
    [
        "Tips:\n1. Sleep\n2. Eat",
        "- a\n- b",
        "intro\n\n  * a\n\ntext\n\n  * b",
        "1) a\n2) b",
        "(1) a\n(2) b",
        "•a\n•b",
        "1. first\n- then",
        "> - quoted\n> - list",
        "1. a\r\n2. b",
        "**1. First**\ntext\n**2. Second**",
        "**1.** First\n**2.** Second",
        "__1. First__\n__2. Second__",
        "### 1. First\n\ntext\n\n### 2. Second",
        "### 1.\ntext\n### 2.\ntext",
        "***1. First***\n***2. Second***",
        "## **1) First**\n## **2) Second**",
        "**- a**\n**- b**",
        "- **a**\n- **b**",
        "* a\n* b",
    ],
)
def test_lists(text):
    assert style.is_list(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- only one",
        "**Bold**\n**Again**",
        "---\ntext\n---",
        "- - -\n* * *",
        "3x + 10 = 5x\n10 + 10 = 2x",
        "0.0585 g\n0.000999 moles",
        "1984 was a year.\n2008 too.",
        "a - b\nc - d",
        "-5\n-6",
        "text 1. a 2. b",
        "\u2013 Who is there?\n\u2013 It is me.",
        "\u2014 Who is there?\n\u2014 It is me.",
        "### First\n### Second",
        "**1984** was a year.\n**2008** too.",
        "1.\n2.",
    ],
)
def test_not_lists(text):
    assert not style.is_list(text)


@pytest.mark.parametrize(
    "text",
    [
        "First.\n\nOverall, it works.",
        "First.\n\nin conclusion it works",
        "First.\n \t\n**In summary**: it works.\n\n",
        "First.\r\n\r\nTo sum up, it works.",
        "A\n\nB\n\n## Conclusion\nIt works.",
        "A\n\nTL;DR: it works.",
        "A\n\n## Conclusion\n\nIt works.",
        "A\n\n**Conclusion**\n\nIt works.",
        "A\n\nConclusion:\n\nIt works.",
        "A\n\n## 5. Conclusion\n\nIt works.",
        "A\n\n**5) Conclusion**\nIt works.",
        "A\n\n### In summary\n\nIt works.\n\nLet me know if you want more!",
        "A\n\nOverall, it works.\n\nLet me know if you have any questions.",
        "A\n\nOverall, it works.\n\n---\n\nI hope this helps! Feel free to ask.",
        "A\n\nOverall, it works.\n\nI hope this helps.\n\nWould you like an example?",
        "A\n\nOverall, it works.\n\nPlease don\u2019t hesitate to ask.",
    ],
)
def test_closing_summaries(text):
    assert style.has_closing_summary(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Overall, it works.",
        "\n\nOverall, it works.\n\n",
        "First.\nOverall, it works.",
        "Overall, it works.\n\nBut that is not all.",
        "First.\n\nOveralls are clothes.",
        "First.\n\nIt works overall.",
        "Overall, it works.\n\nLet me know if you want more.",
        "## Conclusion\n\nIt works.",
        "A\n\nOverall, it works.\n\nAdd salt.\n\nLet me know if you want more.",
        "A\n\nLet me know if you want more.",
        "A\n\nIn the end he died, and nobody knew why. It was cold.\n\nThe next day came.",
        "A\n\nOverall, it works.\n\nFeel free to add "
        + "salt and pepper, oil and vinegar, and so on, " * 8,
    ],
)
def test_no_closing_summary(text):
    assert not style.has_closing_summary(text)


def test_length_correlation():
    assert style.length_correlation([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert style.length_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert style.length_correlation([1, 2, 4], [1, 3, 2]) == pytest.approx(0.327326835)
    assert style.length_correlation([5, 5, 5], [1, 2, 3]) is None
    assert style.length_correlation([5], [1]) is None
    with pytest.raises(ValueError, match="1 lengths against 2"):
        style.length_correlation([1], [1, 2])


def test_compare_leaves_agreement_undefined_where_the_reference_does_neither():
    strip = style.compare("- a\n- b\n\nOverall, good.", "Plain text here.")
    assert strip.lists and strip.list_agreement is None
    assert strip.summary and strip.summary_agreement is None
    assert (strip.words, strip.reference_words) == (4, 3)
    assert strip.length_ratio == pytest.approx(4 / 3)
    assert strip.unigram_intersection == 0


def test_compare_reports_agreement_where_the_reference_does_both():
    reference = "1. a\n2. b\n\nIn conclusion, c."
    same, plain = style.compare(reference, reference), style.compare("a", reference)
    assert (same.list_agreement, same.summary_agreement) == (True, True)
    assert (plain.list_agreement, plain.summary_agreement) == (False, False)
    assert style.compare("a", "").length_ratio is None


def test_phrases_are_lower_case_sorted_and_without_repetition():
    path = Path(style.__file__).with_name("closing_phrases.json")
    known = json.loads(path.read_text("utf-8"))
    for phrases in (known["phrases"], known["offers"]):
        assert phrases == sorted({phrase.lower() for phrase in phrases})


def test_hostile_text_stays_fast():
    for text in ("\n" * 300_000, "- " * 300_000, "\n \t" * 200_000, "1" * 500_000, "> " * 300_000):
        started = time.process_time()
        style.compare(text, text)
        assert time.process_time() - started < 2, text[:6]


def test_list_items_are_counted_alike_for_style_control():
    text = "**1. First**\n\u2013 a dash\n### 2. Second\n- third"
    assert style.list_items(text) == features(text)[1] == 3


@pytest.mark.skipif(not VICUNA.is_dir(), reason=f"no reference answers at {VICUNA}")
def test_imitation_models_share_more_words_with_the_reference_than_their_base():
    def answers(model):
        lines = (VICUNA / f"answer_{model}.jsonl").read_text("utf-8").splitlines()
        return {row["question_id"]: row["text"] for row in map(json.loads, lines)}

    reference = answers("gpt35")

    def mean(model):
        pairs = [(text, reference[key]) for key, text in answers(model).items()]
        return sum(style.unigram_intersection(a, b) for a, b in pairs) / len(pairs)

    assert mean("llama-13b") < mean("alpaca-13b") < mean("vicuna-13b")
