"""Lexical hedging: a count of words, named so."""

from imitation.evaluation.metrics.hedging import hedges, hedging, hedging_rate


def test_hedges_are_whole_words_in_any_case():
    assert hedges("Perhaps it might rain; It  Seems so.") == 3
    assert hedges("The almighty mightier unlikelihood of roughlyness") == 0
    assert hedges("I think, I believe, as an AI") == 3
    assert hedges("The month of May, 2020.") == 0


def test_overlapping_hedges_count_once():
    assert hedges("it seems to be") == 1


def test_the_rate_is_per_hundred_words_and_undefined_without_any():
    assert hedging_rate("perhaps yes") == 50.0
    assert hedging_rate("Paris is the capital.") == 0.0
    assert hedging_rate(" ... ") is None


def test_empty_answers_are_not_confident_ones():
    found = hedging(["perhaps so", "", "certainly so", "..."])
    assert (found.value, found.n) == (25.0, 2)
    assert hedging([]).value is None
