"""Sixteen browsers' worth of HTTP on a running app, which is killed in the middle.

Comparisons, votes, study votes, recordings, judges' runs and their jobs: all that a visitor is told
of as saved. (Judgements are written by a judge's own process; `tests/many_hands.py` has them.)
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from imitation.settings import read_settings
from imitation.storage import studies
from imitation.storage.database import connect
from imitation.values import Pair
from tests.browser.conftest import App, start_app

CLIENTS, PHASE_S = 16, 240.0
LEAST = 4
"""Of each kind, before the app is killed and after it is back; some kinds come to hundreds."""
KINDS = {
    "comparison": "SELECT count(*) FROM comparisons",
    "vote": "SELECT count(*) FROM votes",
    "study vote": "SELECT count(*) FROM showings WHERE rated IS NOT NULL",
    "recording": "SELECT count(*) FROM recording_sets",
    "job": "SELECT count(*) FROM jobs WHERE kind = 'judge'",
}
CARDS = "".join(
    f'[[model]]\nid = "{n}"\nname = "{n}"\nrole = "{role}"\nbackend = "recorded"\n'
    f'file = "answers.jsonl"\nmodel = "{n}"\n\n'
    for n, role in (("a", "base"), ("z", "reference"))
)


class Page:
    """What a page's own script sends: one session, events by the number of their listener."""

    def __init__(self, url: str, config: dict[str, Any], **query: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60, params=query)
        self._session = uuid4().hex
        self._parts = {part["id"]: part for part in config["components"]}
        self._listeners = config["dependencies"]

    def event(self, name: str, data: list[Any], **told: Any) -> list[Any]:
        """The outputs of the listener "elem_id event"; fails where the server does not confirm."""
        listener = self.listener(name)
        asked = {
            "data": data, "fn_index": listener["id"], "session_hash": self._session,
            "event_data": told or None, "trigger_id": listener["targets"][0][0],
        }  # fmt: skip
        self._http.post("/gradio_api/queue/join", json=asked).raise_for_status()
        end: list[Any] = []
        with self._http.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": self._session}
        ) as lines:
            for line in lines.iter_lines():
                told = json.loads(line[6:]) if line.startswith("data: ") else {}
                if told.get("msg") == "process_completed":
                    assert told["success"], told["output"].get("error")
                    end = told["output"]["data"]
        return end

    def listener(self, name: str) -> dict[str, Any]:
        for found in self._listeners:
            for part, event in found["targets"]:
                props = self._parts.get(part, {}).get("props", {})
                if f"{props.get('elem_id')} {event}" == name:
                    return found
        raise AssertionError(f"no listener {name}")

    def load(self, part: str) -> dict[str, Any]:
        """The load event that fills a part of a page."""
        return next(
            found
            for found in self._listeners
            if any(event == "load" for _, event in found["targets"])
            and part in [self._parts[o]["props"].get("elem_id") for o in found["outputs"]]
        )

    def open(self, name: str, part: str) -> list[Any]:
        """Load the page under a visitor's secret; what the event that fills `part` gives."""
        found = self.load(part)
        self._listeners = [{**found, "targets": [[-1, "load"]]}, *self._listeners]
        self._parts[-1] = {"props": {"elem_id": "page"}}
        return self.event("page load", [name])


def stored(database: Path) -> dict[str, int]:
    """Kind -> how many there are, in a file that is whole."""
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {kind: db.execute(sql).fetchone()[0] for kind, sql in KINDS.items()}


@pytest.mark.slow
def test_nothing_acknowledged_over_http_is_lost_with_a_kill_in_the_middle(tmp_path: Path) -> None:
    data = tmp_path / "data"
    settings = read_settings({"IMITATION_DATA": str(data), "IMITATION_CACHE": str(tmp_path)})
    with closing(connect(settings.database)) as db:
        pairs = [Pair(f"q{n}", ("a", "b"), ("x", "y")) for n in range(2000)]
        made = studies.create(
            db, pairs, name="s", guidelines="g", source="s", visitor="v", repeat_every=0, raters=20
        )
        invite = studies.get(db, made).invite
    (data / "answers.jsonl").write_text('{"prompt": "q", "answers": {"a": "x", "z": "y"}}\n')
    (data / "models.toml").write_text(CARDS)
    confirmed = dict.fromkeys(KINDS, 0)
    lock, errors = threading.Lock(), list[str]()

    def saved(kind: str) -> None:
        with lock:
            confirmed[kind] += 1

    def rate(page: Page, name: str, over: threading.Event) -> None:
        secret, _, shown = page.open(name, "rate-item")
        while not over.is_set():
            time.sleep(1.6)  # faster than anybody reads is refused
            token = shown.split('data-token="')[1].split('"')[0]
            shown = page.event("rate-item click", [secret, None], do="rate", token=token,
                               choice="first")[0]  # fmt: skip
            assert f'data-token="{token}"' not in shown
            saved("study vote")

    def import_answers(page: Page, name: str, called: str) -> None:
        files = {"files": ("answers.jsonl", (data / "answers.jsonl").read_bytes())}
        path = page._http.post("/gradio_api/upload", files=files).json()[0]
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        outcome = page.event("recorded-load click", [name, "", [file], called])[0]
        assert "were imported" in outcome, outcome
        saved("recording")

    def record(page: Page, name: str, over: threading.Event) -> None:
        while not over.is_set():
            import_answers(page, f"{name} {uuid4()}", "set")

    def compare(page: Page, name: str, over: threading.Event) -> None:
        page.open(name, "arena")
        while not over.is_set():
            asked = ["q", False, "", 0, 1, 16, "", ["a"], [], ["z"], name, ""]
            *_, message = page.event("ask click", asked)
            assert json.loads(message)["open"], message
            saved("comparison")
            shown = page.event("arena click", [name, ""], do="vote", choice="tie")[0]
            assert 'data-choice="tie"' not in shown, shown
            saved("vote")

    def judge(page: Page, name: str, over: threading.Event) -> None:
        import_answers(page, name, name)
        _, _, _, judges, sources, _, rubric, *_ = page.open(name, "judge-source")
        while not over.is_set():
            form = [judges["value"], sources["value"], [], "", 1, None, rubric, False, 16]
            board = page.event("judge-start click", [name, "people", *form])[2]
            assert board["value"].startswith("judge:"), board
            saved("job")
            time.sleep(4)  # each starts a process

    def work(app: App, config: dict[str, Any], number: int, over: threading.Event) -> None:
        try:
            page = Page(app.url, config, study=invite)
            act = judge if number == 0 else (rate, compare, record, compare)[number % 4]
            act(page, f"visitor {number} {uuid4()}", over)
        except (httpx.HTTPError, AssertionError, IndexError) as error:
            errors.append(f"{type(error).__name__}: {error}")

    for phase in (1, 2):
        app = start_app(data, tmp_path)
        config = httpx.get(f"{app.url}/config", timeout=60).json()
        over, wanted = threading.Event(), {kind: n + LEAST for kind, n in confirmed.items()}
        threads = [
            threading.Thread(target=work, args=(app, config, n, over)) for n in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PHASE_S
        while any(confirmed[kind] < n for kind, n in wanted.items()) and not errors:
            assert time.monotonic() < deadline, confirmed
            time.sleep(0.1)
        assert not errors, errors[:3]
        if phase == 1:
            app.process.kill()  # in the middle of what all of them do
        over.set()
        for thread in threads:
            thread.join()
        if phase == 2:
            assert not errors, errors[:3]
            app.end()
        errors.clear()  # those of clients whose server was killed
        found = stored(settings.database)
        assert all(found[kind] >= confirmed[kind] for kind in KINDS), (found, confirmed)
