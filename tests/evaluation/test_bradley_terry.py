"""Scores of models from preferences: found again, never infinite, never across groups."""

import math

import numpy as np
import pytest

from imitation.evaluation.bradley_terry import CENTRE, SCALE, rate
from imitation.evaluation.markup import differences, features
from imitation.evaluation.votes import Decision
from imitation.values import Pair


def decisions(one, two, first, tie, second, answers=("x", "y")):
    outcomes = ["first"] * first + ["tie"] * tie + ["second"] * second
    return [Decision(Pair(f"q{n}", (one, two), answers), o, 1) for n, o in enumerate(outcomes)]


def scores(ratings):
    return {rating.model: rating.score for rating in ratings.models}


def test_two_models_have_the_odds_of_their_votes():
    found = scores(rate(decisions("a", "b", 300, 0, 100), rounds=200))
    # Half a win each way is added.
    expected = SCALE * math.log(300.5 / 100.5)
    assert found["a"].value - found["b"].value == pytest.approx(expected, abs=0.5)
    assert found["a"].value + found["b"].value == pytest.approx(2 * CENTRE)
    assert found["a"].n == 400
    assert found["a"].low < found["a"].value < found["a"].high


def test_a_tie_is_half_a_win():
    ties = scores(rate(decisions("a", "b", 10, 20, 10), rounds=0))
    assert ties["a"].value == pytest.approx(CENTRE, abs=0.1)
    assert ties["a"].low is None, "no rounds, no interval"
    with_ties = scores(rate(decisions("a", "b", 20, 20, 0), rounds=0))
    without = scores(rate(decisions("a", "b", 30, 0, 10), rounds=0))
    assert with_ties["a"].value == pytest.approx(without["a"].value, abs=0.1)


def test_the_interval_has_the_width_theory_says():
    n, p = 400, 0.7
    found = scores(rate(decisions("a", "b", int(n * p), 0, n - int(n * p)), rounds=1000))
    # Each score is half the log odds, whose variance is 1 / (n p (1 - p)).
    half = 1.96 * SCALE / 2 / math.sqrt(n * p * (1 - p))
    assert (found["a"].high - found["a"].low) / 2 == pytest.approx(half, rel=0.1)


def test_strengths_are_found_again_through_chains():
    rng = np.random.default_rng(1)
    strength = {"a": 1.0, "b": 0.0, "c": -1.0}
    rows = []
    for one, two in (("a", "b"), ("b", "c")):  # a and c never meet
        chance = 1 / (1 + math.exp(strength[two] - strength[one]))
        wins = int(rng.binomial(4000, chance))
        rows += decisions(one, two, wins, 0, 4000 - wins)
    found = scores(rate(rows, rounds=50))
    for model, value in strength.items():
        assert found[model].value == pytest.approx(CENTRE + SCALE * value, abs=15)


def test_who_always_wins_has_a_finite_score_and_an_open_interval():
    found = scores(rate(decisions("a", "b", 4, 0, 0), rounds=500))
    assert found["a"].value - found["b"].value == pytest.approx(SCALE * math.log(9), abs=1)
    assert found["a"].low < found["a"].value - 50, "four votes say little"


def test_what_never_met_is_not_compared():
    rows = [
        *decisions("a", "b", 3, 0, 1),
        *decisions("c", "d", 1, 0, 3),
        *decisions("a", "e", 1, 0, 1),
    ]
    ratings = rate(rows, rounds=20)
    groups = {r.model: r.group for r in ratings.models}
    assert groups["a"] == groups["b"] == groups["e"] == 0
    assert groups["c"] == groups["d"] == 1
    for group in (0, 1):
        inside = [r.score.value for r in ratings.models if r.group == group]
        assert np.mean(inside) == pytest.approx(CENTRE)


def test_style_control_takes_length_out():
    """Two equal models; raters like length alone, and one writes longer."""
    rng = np.random.default_rng(2)
    rows = []
    for n in range(3000):
        long, short = int(rng.integers(60, 200)), int(rng.integers(20, 140))
        chance = 1 / (1 + math.exp(-2 * (long - short) / (long + short)))
        outcome = "first" if rng.random() < chance else "second"
        pair = Pair(f"q{n}", ("long", "short"), ("w " * long, "w " * short))
        rows.append(Decision(pair, outcome, 1))
    plain = scores(rate(rows, rounds=20))
    styled = rate(rows, styled=True, rounds=100)
    assert plain["long"].low > CENTRE + 30
    assert scores(styled)["long"].low < CENTRE < scores(styled)["long"].high
    assert styled.style["length"].low > 0
    assert styled.style["bold"].value is None, "no answer has any"


def test_no_votes_no_scores():
    assert rate([]).models == ()


def test_same_seed_same_interval():
    rows = decisions("a", "b", 5, 1, 3)
    assert rate(rows, rounds=50) == rate(rows, rounds=50)
    assert rate(rows, rounds=50) != rate(rows, rounds=50, seed=1)


def test_features_count_markdown():
    text = "# Head\n\n- one\n* two\n1. three\n\n**bold** and __strong__, 3 * 4 * 5, snake__case__x"
    assert features(text)[1:] == (3, 1, 2)
    assert features("") == (0, 0, 0, 0)
    assert features("-5 degrees\n---\n#hash")[1:] == (0, 0, 0)
    assert differences("a b c", "a")[0] == pytest.approx(0.5)
    assert differences("", "") == (0.0, 0.0, 0.0, 0.0)
