from dataclasses import replace

import plotly.graph_objects as go
import pytest

from dashboards.paper.gallery import gallery
from dashboards.paper.gap_closed import gap_of
from dashboards.paper.sweep_figures import sweep
from dashboards.shell.figures.draw import draw
from dashboards.shell.figures.layout import arrange, ticks
from dashboards.shell.figures.panels import Line, Panel, Point
from dashboards.shell.figures.template import plotly_template
from dashboards.shell.palette import DARK, LIGHT, Palette
from imitation.published import Record, load_later, load_paper, only, select

RECORDS = load_paper().records
PLACES = {
    "figure-1": ("Figure 1 left", "Figure 1 right"),
    "figure-3": ("Figure 3 left", "Figure 3 right"),
    "figure-4-top": ("Figure 4 top",),
    "figure-4-bottom": ("Figure 4 bottom",),
    "figure-5": ("Figure 5",),
    "table-1": ("Table 1",),
    "table-2": ("Table 2",),
}


def figure(name: str, view: str = "score", palette: Palette = LIGHT) -> go.Figure:
    return gallery()[name](palette, plotly_template(palette), view)


def marks(drawn: go.Figure) -> list[float]:
    """Values of every mark, whichever way the axis runs."""
    found: list[float] = []
    for trace in drawn.data:
        if trace.type == "scatter" and trace.mode == "markers":
            number = trace.yaxis.removeprefix("y") or ""
            sideways = (
                drawn.layout[f"yaxis{number}"].range[0] > drawn.layout[f"yaxis{number}"].range[1]
            )
            found += trace.x if sideways else trace.y
    return found


def dashed(drawn: go.Figure) -> list[go.Scatter]:
    return [trace for trace in drawn.data if trace.type == "scatter" and trace.line.dash]


def of(name: str) -> list[Record]:
    found = [r for place in PLACES[name] for r in select(RECORDS, where=place)]
    if name == "figure-1":
        found += select(RECORDS, where="Figure 4 top", benchmark="Natural Questions")
    return found


@pytest.mark.parametrize("name", PLACES)
def test_every_imitation_value_is_a_mark(name: str) -> None:
    shown = marks(figure(name))
    wanted = [r.value for r in of(name) if r.role == "imitation"]
    if name in ("table-1", "table-2"):  # the base is a mark there as well
        wanted += [r.value for r in of(name) if r.role == "base"]
    assert sorted(shown) == sorted(wanted)


@pytest.mark.parametrize("name", PLACES)
def test_reference_lines_stand_where_the_paper_reports_them_and_nowhere_else(name: str) -> None:
    lines = sorted(float(v) for t in dashed(figure(name)) for v in {*t.x} & {*t.y} or _level(t))
    wanted = [r.value for r in of(name) if r.role in ("base", "reference")]
    if name == "table-1":  # one ChatGPT line per panel, the bases are marks
        wanted = [31, 31]
    assert lines == sorted(wanted)


def _level(trace: go.Scatter) -> set[float]:
    """The one value a dashed line stays on."""
    return set(trace.x) if len(set(trace.x)) == 1 else set(trace.y)


@pytest.mark.parametrize("name", ["figure-1", "figure-3", "figure-4-bottom"])
def test_what_is_not_reported_is_said(name: str) -> None:
    said = [a.text for a in figure(name).layout.annotations if "not reported" in a.text]
    assert said
    assert all(not t.line.dash or t.line.color != LIGHT.reference for t in figure("figure-3").data)


def test_missing_is_never_drawn_as_zero() -> None:
    for name in PLACES:
        assert 0 not in marks(figure(name))
    lines = [value for trace in dashed(figure("since-then")) for value in _level(trace)]
    assert 0 not in lines


@pytest.mark.parametrize("name", PLACES)
def test_hover_names_value_source_and_how_it_was_taken(name: str) -> None:
    texts = [
        text
        for trace in figure(name).data
        if trace.hovertemplate
        for text in (
            [trace.hovertemplate] if isinstance(trace.hovertemplate, str) else trace.hovertemplate
        )
    ]
    for record in of(name):
        assert any(
            record.origin in text and record.model in text and record.metric in text
            for text in texts
        ), record


def test_error_bars_only_where_the_source_has_an_error() -> None:
    with_error = [t for t in figure("figure-4-top").data if t.error_y.array is not None]
    assert len(with_error) == 3
    assert with_error[0].error_y.array[0] == pytest.approx(0.3)
    for name in ("figure-5", "table-2"):
        assert all(t.error_y.array is None for t in figure(name).data)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_roles_keep_their_colours(palette: Palette) -> None:
    for name in gallery():
        for trace in figure(name, palette=palette).data:
            if trace.type == "scatter" and trace.mode == "markers":
                assert trace.marker.color == getattr(palette, trace.name)
    colours = {
        t.name.split()[0]: t.line.color for t in dashed(figure("figure-4-top", palette=palette))
    }
    assert colours == {"LLaMA": palette.base, "ChatGPT": palette.reference}


def test_gap_view_is_not_clipped() -> None:
    values = marks(figure("figure-4-top", "gap"))
    questions = select(RECORDS, where="Figure 4 top", benchmark="Natural Questions")
    base, reference = only(questions, "base"), only(questions, "reference")
    assert base is not None and reference is not None
    expected = 100 * (13.5 - base.value) / (reference.value - base.value)
    assert min(values) == pytest.approx(expected) == pytest.approx(-218.18, abs=0.01)
    tone = max(marks(figure("table-2", "gap")))
    assert tone == pytest.approx(100 * (99 - 57) / (98 - 57))
    assert tone > 100


def test_gap_view_says_where_it_is_not_defined() -> None:
    drawn = figure("figure-3", "gap")
    assert marks(drawn) == []
    assert sum("not defined" in a.text for a in drawn.layout.annotations) == 2


def test_gap_axis_reaches_every_mark_and_bar() -> None:
    for name in PLACES:
        drawn = figure(name, "gap")
        for trace in drawn.data:
            if trace.type != "scatter" or trace.mode != "markers" or not trace.error_y.array:
                continue
            low, high = drawn.layout[f"yaxis{trace.yaxis.removeprefix('y')}"].range
            ends = [y - e for y, e in zip(trace.y, trace.error_y.arrayminus, strict=True)]
            assert low < min(ends) and max(trace.y) < high


def test_gap_carries_the_reading_error() -> None:
    base, done, top = (
        Record("F", "B", "%", m, r, 13, 1, None, v, e, "digitised")  # type: ignore[arg-type]
        for m, r, v, e in (
            ("b", "base", 10, 1), ("i", "imitation", 15, 1), ("r", "reference", 20, 1),
        )
    )  # fmt: skip
    gap = gap_of(done, base, top)
    assert gap is not None
    assert gap.value == 0.5
    assert gap.low == pytest.approx(3 / 10)  # (14 - 11) / (21 - 11)
    assert gap.high == pytest.approx(7 / 10)  # (16 - 9) / (19 - 9)
    assert gap_of(done, None, top) is None
    assert gap_of(done, replace(base, value=19), top) is None  # better only within the error
    with pytest.raises(ValueError, match="different metrics"):
        gap_of(done, replace(base, metric="other"), top)


def test_table_1_and_figure_4_never_share_a_panel() -> None:
    mixed = [
        *select(RECORDS, where="Table 1", params_b=13),
        *select(RECORDS, where="Figure 4 top", benchmark="Natural Questions"),
    ]
    with pytest.raises(ValueError, match="one place"):
        sweep(mixed, "tokens", "score")


def test_later_studies_show_every_value() -> None:
    drawn = figure("since-then")
    assert sorted(marks(drawn)) == sorted(r.value for r in load_later() if r.role == "imitation")
    lines = sorted(value for trace in dashed(drawn) for value in _level(trace))
    assert lines == sorted(r.value for r in load_later() if r.role != "imitation")


def test_query_types_are_bars_of_their_share() -> None:
    (bars,) = figure("table-5").data
    assert sorted(bars.x) == sorted(load_paper().query_types.values())
    assert list(bars.x) == sorted(bars.x, reverse=True)


def test_template_is_transparent() -> None:
    layout = plotly_template(DARK).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.font.color == DARK.soft


@pytest.mark.parametrize("name", list(gallery()))
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_panels_never_overlap(name: str, columns: int) -> None:
    meta = figure(name).layout.meta
    layouts = meta["layouts"][columns]
    width = 362 if columns == 1 else meta["widths"][columns]
    boxes = []
    for key, value in layouts.items():
        if key.startswith("xaxis"):
            (left, more), (right, less) = value
            y = layouts[key.replace("xaxis", "yaxis")]
            boxes.append((left + more / width, right + less / width, *y))
    for i, (left, right, low, high) in enumerate(boxes):
        assert 0 <= left < right <= 1 and 0 <= low < high <= 1
        assert (right - left) * width >= 120, "too narrow to read"
        for other in boxes[:i]:
            apart = right <= other[0] or other[1] <= left or high <= other[2] or other[3] <= low
            assert apart


def test_ticks_are_round_and_few() -> None:
    assert ticks((0, 80), "") == [(0, "0"), (20, "20"), (40, "40"), (60, "60"), (80, "80")]
    assert ticks((-250, 140), "%")[0] == (-200, "-200%")
    assert [text for _, text in ticks((0.8, 0.94), "")] == ["0.80", "0.85", "0.90"]


def test_dashed_lines_reach_across_a_panel_of_one_point() -> None:
    """Once its pad was a share of no distance: a line from the point to itself."""
    panel = Panel(
        "t", "m", "sweep", (Point(1.0, 50, "50", "here"),), ((1.0, "one"),),
        (Line(20, "base 20", "base", "base"), Line(80, "reference 80", "reference", "reference")),
    )  # fmt: skip
    drawn = draw([panel], LIGHT, plotly_template(LIGHT))
    low, high = drawn.layout.xaxis.range
    assert high - low >= 1
    assert [(min(line.x), max(line.x)) for line in dashed(drawn)] == [(low, high)] * 2


def test_draw_refuses_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="0 panels"):
        draw([], LIGHT, plotly_template(LIGHT))
    panel = Panel("t", "s", "sweep", (), ((0, "a"),), empty="nothing")
    height, places = arrange([panel, panel, panel], 2)
    assert height > 0
    assert [place.title[0] for place in places] == [0, 0.5, 0]
