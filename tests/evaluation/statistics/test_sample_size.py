"""What a sample limit costs and buys."""

import pytest

from imitation.evaluation.statistics.sample_size import estimate, half_width, samples_for


def test_a_limit_buys_time_and_costs_width():
    small = estimate({"pocket_facts": 264}, 3, limit=25)
    whole = estimate({"pocket_facts": 264}, 3)
    assert (small.samples, small.requests, whole.samples) == (25, 75, 264)
    assert small.seconds < whole.seconds
    assert 0.17 < small.half_widths["pocket_facts"] < 0.2
    assert 0.055 < whole.half_widths["pocket_facts"] < 0.065
    assert whole.difference["pocket_facts"] > whole.half_widths["pocket_facts"]


def test_a_limit_above_the_samples_changes_nothing():
    assert estimate({"t": 100}, 1, limit=500) == estimate({"t": 100}, 1)


def test_an_unknown_number_of_samples_is_not_made_up():
    unknown = estimate({"t": None}, 2)
    assert (unknown.samples, unknown.half_widths["t"]) == (0, None)
    assert estimate({"t": None}, 2, limit=50).requests == 100


def test_measured_speed_goes_before_the_guess():
    assert estimate({"t": 100}, 2, seconds={"t": 3.0}).seconds == pytest.approx(615)


def test_the_samples_a_width_needs():
    n = samples_for(0.05)
    assert half_width(n) <= 0.05 < half_width(n - 2)
    assert 370 < n < 390
    with pytest.raises(ValueError, match="half width"):
        samples_for(0.6)
