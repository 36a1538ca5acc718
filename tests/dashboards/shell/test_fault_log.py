"""A fault is traced in the log once, later it is a line, and what was sent is not kept in full."""

import gradio.queueing
import pytest

from dashboards.shell.fault_log import ToldOnce, tell_faults_once


def fails(value):
    raise ValueError(value)


def test_a_trace_is_told_once(caplog):
    told = ToldOnce()
    for n in range(3):
        try:
            fails(f"{n} " + "x" * 100_000)
        except ValueError:
            told.print_exc()
    first, *later = [record.getMessage() for record in caplog.records]
    assert "Traceback" in first and "in fails" in first and "ValueError: 0 xxx" in first
    assert len(later) == 2 and all("\n" not in line for line in later)
    assert "3 times" in later[1] and "ValueError: 2 xxx" in later[1]
    assert max(map(len, [first, *later])) < 3_000
    told.print_exc()  # nothing is being handled
    assert told.format_exc


@pytest.fixture
def put_back(monkeypatch):
    for module in ("queueing", "route_utils", "routes", "utils"):
        place = __import__(f"gradio.{module}", fromlist=["x"])
        monkeypatch.setattr(place, "traceback", place.traceback)


def test_gradio_tells_by_it(put_back):
    tell_faults_once()
    assert isinstance(gradio.queueing.traceback, ToldOnce)
