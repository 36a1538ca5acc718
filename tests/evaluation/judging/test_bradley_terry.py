"""Scores of models from preferences: found again, never infinite, never across groups."""

import math

import numpy as np
import pytest

from imitation.evaluation.judging.bradley_terry import CENTRE, SCALE, rate
from imitation.evaluation.judging.preferences import Decision
from imitation.evaluation.metrics.style_features import differences, features
from imitation.values import Pair


def decisions(one, two, first, tie, second, answers=("x", "y")):
    outcomes = ["first"] * first + ["tie"] * tie + ["second"] * second
    return [Decision(Pair(f"q{n}", (one, two), answers), o, 1) for n, o in enumerate(outcomes)]


def scores(ratings):
    return {rating.model: rating.score for rating in ratings.models}


def simulated(seed, models, n, spread, tie=0.0):
    """Votes between random pairs by the model, with a share of ties that keeps its means."""
    rng = np.random.default_rng(seed)
    strength = np.linspace(-spread / 2, spread / 2, models)
    rows = []
    for item in range(n):
        one, two = sorted(rng.choice(models, 2, replace=False))
        chance = 1 / (1 + math.exp(strength[two] - strength[one]))
        tied, u = tie * 2 * min(chance, 1 - chance), rng.random()
        outcome = "tie" if u < tied else "first" if u < chance + tied / 2 else "second"
        pair = Pair(f"q{item}", (f"m{one:02}", f"m{two:02}"), ("x", "y"))
        rows.append(Decision(pair, outcome, 1))
    return dict(zip((f"m{n:02}" for n in range(models)), strength, strict=True)), rows


def test_two_models_have_the_odds_of_their_votes():
    found = scores(rate(decisions("a", "b", 300, 0, 100)))
    # Firth's penalty is half a win each way.
    expected = SCALE * math.log(300.5 / 100.5)
    assert found["a"].value - found["b"].value == pytest.approx(expected, abs=0.1)
    assert found["a"].value + found["b"].value == pytest.approx(2 * CENTRE)
    assert found["a"].n == 400
    assert found["a"].low < found["a"].value < found["a"].high


def test_a_tie_is_half_a_win():
    with_ties = scores(rate(decisions("a", "b", 20, 20, 0)))
    without = scores(rate(decisions("a", "b", 30, 0, 10)))
    assert with_ties["a"].value == pytest.approx(without["a"].value, abs=0.1)
    narrow, wide = (one["a"].high - one["a"].low for one in (with_ties, without))
    assert narrow < 0.9 * wide, "a tie says more surely that two are alike"
    equal = scores(rate(decisions("a", "b", 0, 20, 0)))["a"]
    assert equal.value == pytest.approx(CENTRE) and equal.high - equal.low > 20


def test_the_interval_has_the_width_theory_says():
    n, p = 400, 0.7
    found = scores(rate(decisions("a", "b", int(n * p), 0, n - int(n * p))))
    # Each score is half the log odds, whose variance is 1 / (n p (1 - p)).
    half = 1.96 * SCALE / 2 / math.sqrt(n * p * (1 - p))
    assert (found["a"].high - found["a"].low) / 2 == pytest.approx(half, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "n", "spread", "tie", "boards"),
    [
        (2, 40, 4, 0, 100), (3, 15, 4, 0, 80), (4, 40, 1, 0.5, 60),
        (6, 60, 0, 0.8, 50), (6, 60, 3, 0, 60), (10, 100, 3, 0, 40), (10, 100, 5, 0, 40),
        (6, 300, 3, 0.3, 40),
    ],
)  # fmt: skip
def test_intervals_cover_the_truth_as_often_as_they_say(models, n, spread, tie, boards):
    """Also with few votes a pair and models that nearly always win; the point is always inside."""
    hits = []
    for seed in range(boards):
        strength, rows = simulated(seed, models, n, spread, tie)
        for rating in rate(rows).models:
            score = rating.score
            if score.value is not None:
                assert score.low <= score.value <= score.high
                hits.append(score.low <= CENTRE + SCALE * strength[rating.model] <= score.high)
    # 95%, give or take what so many simulated boards leave to chance.
    assert 0.92 <= np.mean(hits) <= 0.985, f"{np.mean(hits):.3f} of {len(hits)}"


@pytest.mark.parametrize("n", [5, 10, 20, 40])
def test_of_two_models_the_exact_coverage_is_near_95_percent(n):
    """All outcomes of n votes by their chances: no simulation needed."""
    ends = []
    for wins in range(n + 1):
        score = scores(rate(decisions("a", "b", wins, 0, n - wins)))["a"]
        ends.append((2 * (score.low - CENTRE) / SCALE, 2 * (score.high - CENTRE) / SCALE))
    covered = []
    for odds in np.linspace(-3, 3, 241):
        p = 1 / (1 + math.exp(-odds))
        covered.append(sum(
            math.comb(n, wins) * p**wins * (1 - p) ** (n - wins)
            for wins, (low, high) in enumerate(ends) if low <= odds <= high
        ))  # fmt: skip
    assert 0.93 <= np.mean(covered) <= 0.97
    assert min(covered) > 0.85, "whole numbers of wins make it jump about the mean"


@pytest.mark.slow
def test_over_many_sizes_93_to_97_percent_are_covered():
    hits = []
    for models, n, spread in ((3, 15, 2), (4, 40, 4), (6, 60, 3), (10, 100, 3), (10, 100, 5)):
        for seed in range(1000, 1050):
            strength, rows = simulated(seed, models, n, spread)
            hits += [
                r.score.low <= CENTRE + SCALE * strength[r.model] <= r.score.high
                for r in rate(rows).models
                if r.score.value is not None
            ]
    assert 0.93 <= np.mean(hits) <= 0.97, f"{np.mean(hits):.3f} of {len(hits)}"


@pytest.mark.slow
def test_a_vote_among_three_columns_is_not_two():
    """The best beats both others: its two items hang together (without that 87 to 91%)."""
    hits = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        strength = np.linspace(-1, 1, 4)
        rows = []
        for vote in range(40):
            columns = rng.choice(4, 3, replace=False)
            odds = np.exp(strength[columns])
            best = rng.choice(columns, p=odds / odds.sum())
            for other in set(columns) - {best}:
                one, two = sorted((best, other))
                pair = Pair(f"q{vote}", (f"m{one}", f"m{two}"), ("x", "y"))
                rows.append(Decision(pair, "first" if one == best else "second", 1))
        for rating in rate(rows).models:
            truth = CENTRE + SCALE * strength[int(rating.model[1:])]
            hits.append(rating.score.low <= truth <= rating.score.high)
    assert 0.92 <= np.mean(hits) <= 0.985, f"{np.mean(hits):.3f} of {len(hits)}"


def test_strengths_are_found_again_through_chains():
    rng = np.random.default_rng(1)
    strength = {"a": 1.0, "b": 0.0, "c": -1.0}
    rows = []
    for one, two in (("a", "b"), ("b", "c")):  # a and c never meet
        chance = 1 / (1 + math.exp(strength[two] - strength[one]))
        wins = int(rng.binomial(4000, chance))
        rows += decisions(one, two, wins, 0, 4000 - wins)
    found = scores(rate(rows))
    for model, value in strength.items():
        assert found[model].value == pytest.approx(CENTRE + SCALE * value, abs=15)


@pytest.mark.parametrize("wins", [5, 20, 200])
def test_who_always_wins_has_a_finite_score_inside_a_wide_interval(wins):
    found = scores(rate(decisions("a", "b", wins, 0, 0)))["a"]
    assert found.value == pytest.approx(CENTRE + SCALE / 2 * math.log(2 * wins + 1), abs=0.5)
    # The upper end is open in truth: it is far, where the lower is as near as the wins say.
    assert found.high - found.value > 2 * (found.value - found.low) > 200
    assert found.low > CENTRE


def test_many_agreeing_votes_on_few_prompts_have_a_wide_interval():
    """Their intervals reach so far out that rounding leaves nothing there to compute with."""
    rows = [Decision(Pair(f"q{n % 3}", ("a", "b"), ("x", "y")), "first", 1) for n in range(90)]
    found = scores(rate(rows))
    few = scores(rate(decisions("a", "b", 90, 0, 0)))
    assert found["a"].value == pytest.approx(few["a"].value)
    assert found["a"].low < few["a"].low and found["a"].high > few["a"].high + 500
    assert math.isfinite(found["a"].high) and math.isfinite(found["b"].low)


def test_a_winner_of_all_among_several_stays_finite():
    rows = [
        *decisions("a", "b", 9, 0, 0), *decisions("a", "c", 9, 0, 0), *decisions("b", "c", 5, 0, 4)
    ]  # fmt: skip
    for score in scores(rate(rows)).values():
        assert 0 < score.low < score.value < score.high < 2000


def test_too_few_items_have_no_score_and_say_so():
    found = scores(rate([*decisions("a", "b", 6, 0, 4), *decisions("a", "c", 2, 0, 0)]))
    assert found["a"].n == 12 and found["a"].value is not None
    assert (found["c"].value, found["c"].too_few()) == (None, "too few to say: 2 items, needs 5")
    # The mean is that of the models with a score: one that hardly played moves nobody.
    assert found["a"].value + found["b"].value == pytest.approx(2 * CENTRE)
    (lonely, *_) = rate([*decisions("a", "b", 3, 0, 0), *decisions("a", "c", 3, 0, 0)]).models
    assert lonely.score.value is None, "nobody with enough items to compare it with"


def test_what_one_item_more_moves():
    few, many = (rate(decisions("a", "b", n, 0, n)).models[0].moved for n in (5, 500))
    more = scores(rate(decisions("a", "b", 6, 0, 5)))["a"].value - CENTRE
    assert few == pytest.approx(more, rel=0.2)
    assert few == pytest.approx(100 * many, rel=0.05)


def test_what_never_met_is_not_compared():
    rows = [
        *decisions("a", "b", 3, 0, 2),
        *decisions("c", "d", 2, 0, 3),
        *decisions("a", "e", 2, 0, 3),
    ]
    ratings = rate(rows)
    groups = {r.model: r.group for r in ratings.models}
    assert groups["a"] == groups["b"] == groups["e"] == 0
    assert groups["c"] == groups["d"] == 1
    for group in (0, 1):
        inside = [r.score.value for r in ratings.models if r.group == group]
        assert np.mean(inside) == pytest.approx(CENTRE)


def by_length(seed, n, worth, models=2, spread=0.0):
    """Votes of raters who like length as well; every model but the first writes longer."""
    rng = np.random.default_rng(seed)
    strength = np.linspace(-spread / 2, spread / 2, models)
    rows, squares = [], []
    for item in range(n):
        one, two = sorted(rng.choice(models, 2, replace=False))
        words = [int(rng.integers(20, 140)) + 20 * m for m in (one, two)]
        bold = [int(rng.integers(0, 3)) for _ in range(2)]
        pull = (words[0] - words[1]) / sum(words)
        chance = 1 / (1 + math.exp(strength[two] - strength[one] - worth * pull))
        # Bold words count as words, so that the difference is the one that is measured.
        texts = tuple("w " * (w - b) + "**w** " * b for w, b in zip(words, bold, strict=True))
        pair = Pair(f"q{item}", (f"m{one}", f"m{two}"), texts)
        rows.append(Decision(pair, "first" if rng.random() < chance else "second", 1))
        squares.append(pull**2)
    return strength, rows, SCALE * worth * math.sqrt(np.mean(squares))


def test_style_control_takes_length_out():
    """Two equal models; raters like length alone, and one writes longer."""
    _, rows, worth = by_length(2, 1500, 2.0)
    plain = scores(rate(rows))
    styled = rate(rows, styled=True)
    assert plain["m1"].low > CENTRE
    assert scores(styled)["m1"].low < CENTRE < scores(styled)["m1"].high
    assert styled.style["length"].low < worth < styled.style["length"].high
    assert styled.style["length"].low > 0
    assert styled.style["headers"].n == 0, "no answer has any"


@pytest.mark.slow
@pytest.mark.parametrize(("models", "n", "spread", "worth"), [(2, 30, 1, 2), (3, 60, 3, 3)])
def test_style_control_covers_the_truth_from_its_least_n(models, n, spread, worth):
    hits, effects = [], []
    for seed in range(60):
        strength, rows, true = by_length(seed, n, worth, models, spread)
        found = rate(rows, styled=True)
        assert not found.reason
        for rating in found.models:
            truth = CENTRE + SCALE * strength[int(rating.model[1:])]
            hits.append(rating.score.low <= truth <= rating.score.high)
        effect = found.style["length"]
        assert effect.low <= effect.value <= effect.high
        effects.append(effect.low <= true <= effect.high)
    assert 0.90 <= np.mean(hits) <= 0.99 and np.mean(effects) >= 0.88


def test_two_votes_say_nothing_of_style():
    """Once: "more words: +4630 points [+4630, +4630]"."""
    _, rows, _ = by_length(0, 2, 2.0)
    found = rate(rows, styled=True)
    assert found.reason == "too few to say: 2 items, needs 10"
    assert all(effect.value is None for effect in found.style.values())
    assert found.style["length"].too_few() == "too few to say: 2 items, needs 5"
    assert all(rating.score.value is None for rating in found.models)


def test_form_that_goes_with_the_model_cannot_be_taken_out():
    rows = decisions("a", "b", 30, 0, 20, ("plain words", "- a list\n- of two things"))
    found = rate(rows, styled=True)
    assert "goes with the models themselves" in found.reason
    assert all(rating.score.value is None for rating in found.models)
    assert scores(rate(rows))["a"].value is not None


def test_length_that_always_wins_stays_finite():
    rows = []
    for item in range(40):
        words = (30 + item, 10) if item % 2 else (10, 30 + item)
        pair = Pair(f"q{item}", ("a", "b"), tuple("w " * n for n in words))
        rows.append(Decision(pair, "first" if item % 2 else "second", 1))
    effect = rate(rows, styled=True).style["length"]
    assert 0 < effect.low < effect.value < effect.high < 10_000


def test_no_votes_no_scores():
    assert rate([]).models == ()


def test_features_count_markdown():
    text = "# Head\n\n- one\n* two\n1. three\n\n**bold** and __strong__, 3 * 4 * 5, snake__case__x"
    assert features(text)[1:] == (3, 1, 2)
    assert features("") == (0, 0, 0, 0)
    assert features("-5 degrees\n---\n#hash")[1:] == (0, 0, 0)
    assert differences("a b c", "a")[0] == pytest.approx(0.5)
    assert differences("", "") == (0.0, 0.0, 0.0, 0.0)
