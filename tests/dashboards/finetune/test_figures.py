import json
from dataclasses import replace
from itertools import pairwise

import pytest

from dashboards.finetune.figures import POINTS, Curve, losses, thinned
from dashboards.shell.figures.template import plotly_template
from dashboards.shell.palette import LIGHT
from imitation.values import Interval

TEMPLATE = plotly_template(LIGHT)


def curve(name, steps=40, offset=0.0):
    return Curve(
        name,
        [(n, 3 / n + offset) for n in range(1, steps + 1)],
        [(0, 3.5), (steps, 0.4 + offset)],
        [(n, 1e-3 / n) for n in range(1, steps + 1)],
    )


def draw(*curves):
    return losses(curves, LIGHT, TEMPLATE)


def test_each_run_has_three_curves_and_its_name():
    figure = draw(curve("one"), curve("two", offset=0.5))
    assert len(figure.data) == 6
    names = [note.text for note in figure.layout.annotations]
    assert names[:2] == ["Loss per output token", "Learning rate"]
    assert set(names[2:]) == {"one", "two"}
    assert {trace.line.color for trace in figure.data[:3]} == {LIGHT.imitation}
    assert {trace.line.color for trace in figure.data[3:]} == {LIGHT.soft}
    assert list(figure.data[0].y[:2]) == [3.0, 1.5]


def test_held_out_scores_have_a_panel_of_their_own_with_intervals_and_n():
    scores = {"facts": [(0, Interval(0.1, 0.0, 0.3, 12)), (40, Interval(0.5, 0.3, 0.7, 12))]}
    figure = draw(replace(curve("one"), scores=scores), curve("two"))
    (drawn,) = [trace for trace in figure.data if trace.yaxis == "y3"]
    assert list(drawn.y) == [0.1, 0.5] and list(drawn.customdata) == [12, 12]
    assert list(drawn.error_y.array) == pytest.approx([0.2, 0.2])
    assert figure.layout.height > draw(curve("one")).layout.height
    domains = [figure.layout[axis].domain for axis in ("yaxis2", "yaxis3", "yaxis")]
    assert all(low[1] < high[0] for low, high in pairwise(domains))


def test_names_of_curves_that_end_together_are_moved_apart():
    figure = draw(*(curve(f"run-{n}") for n in range(4)))
    heights = sorted(note.y for note in figure.layout.annotations[2:])
    assert all(b - a > 0.1 for a, b in pairwise(heights))


def test_one_step_is_a_mark():
    figure = draw(Curve("new", [(1, 2.0)]))
    assert figure.data[0].mode == "markers"
    assert figure.layout.annotations[2].y == 2.0


def test_before_any_step_nothing_is_drawn():
    assert len(draw(Curve("new", [])).data) == 0


def test_long_curves_are_means_of_their_steps():
    series = [(n, float(n % 2)) for n in range(10_000)]
    points = thinned(series)
    assert len(points) <= POINTS
    assert all(value == pytest.approx(0.5, abs=0.02) for _, value in points)
    assert points[0][0] == pytest.approx(16.5)
    assert thinned([(1, 2.0)]) == [(1.0, 2.0)]


def test_names_are_no_markup():
    text = draw(curve("<b>%{x}")).to_json()
    assert "<b>" not in json.dumps(json.loads(text))


def test_six_long_runs_are_drawn_with_few_points():
    figure = draw(*[curve(f"run-{n}", 20_000) for n in range(6)])
    assert len(figure.data) >= 6
    assert max(len(trace.x) for trace in figure.data) <= POINTS
