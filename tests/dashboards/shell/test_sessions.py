"""What Gradio keeps of a session: the same as without us, and little of it."""

from __future__ import annotations

import copy
import tracemalloc
from collections.abc import Iterator

import gradio as gr
import pytest
from gradio import state_holder

from dashboards.shell.sessions import share_defaults


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[gr.Blocks]:
    """Blocks whose sessions share; Gradio is as it was afterwards."""
    monkeypatch.setattr(state_holder, "SessionState", state_holder.SessionState)
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.State(["kept"])
        for number in range(60):
            gr.Textbox(value=f"box {number}", label="Box")
    yield blocks


def boxes(demo: gr.Blocks) -> list[int]:
    return [key for key, block in demo.blocks.items() if isinstance(block, gr.Textbox)]


def test_a_session_is_what_gradio_makes_of_it(demo: gr.Blocks) -> None:
    own = state_holder.SessionState(demo)
    share_defaults(demo)
    session = state_holder.SessionState(demo)
    assert type(session) is not type(own) and isinstance(session, type(own))
    assert vars(session).keys() == vars(own).keys()
    same = vars(own).keys() - {"blocks_config", "config_values"}
    assert {name: vars(session)[name] for name in same} == {name: vars(own)[name] for name in same}
    assert vars(session.blocks_config).keys() == vars(own.blocks_config).keys()
    assert list(session.components) == list(own.components)
    assert len(session.config_values) == len(own.config_values)


def change(session: state_holder.SessionState, demo: gr.Blocks) -> None:
    """What handlers do to a session: a value, a whole component, a state."""
    first, second, third, *_ = boxes(demo)
    session._update_value_in_config(first, "changed")
    session[second] = gr.Textbox(value="new", label="Other")
    session._update_config(second)
    session[third] = gr.Textbox(value="new")
    state = next(key for key, block in demo.blocks.items() if isinstance(block, gr.State))
    session[state].append("mine")
    session[state] = ["other"]


def test_what_one_session_changes_no_other_sees(demo: gr.Blocks) -> None:
    own = state_holder.SessionState(demo)
    change(own, demo)
    share_defaults(demo)
    untouched, changed = state_holder.SessionState(demo), state_holder.SessionState(demo)
    before = copy.deepcopy(list(untouched.components))
    change(changed, demo)
    assert list(changed.components) == list(own.components) != before
    assert changed.state_data == own.state_data
    assert list(untouched.components) == before
    assert list(state_holder.SessionState(demo).components) == before


def test_other_apps_of_the_process_are_left_alone(demo: gr.Blocks) -> None:
    share_defaults(demo)
    with gr.Blocks(analytics_enabled=False) as another:
        gr.Textbox(label="Another")
    session = state_holder.SessionState(another)
    assert isinstance(session.config_values, dict)
    (box,) = [c for c in session.components if c["type"] == "textbox"]
    assert box["props"]["label"] == "Another"


def test_a_session_takes_a_small_part_of_gradios(demo: gr.Blocks) -> None:
    def taken(count: int = 50) -> int:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            kept = [state_holder.SessionState(demo) for _ in range(count)]
            return (tracemalloc.get_traced_memory()[0] - before) // len(kept)
        finally:
            tracemalloc.stop()

    theirs = taken()
    share_defaults(demo)
    assert taken() < theirs / 5
