"""Sixteen browsers' worth of HTTP on a running app, which is killed in the middle.

Study votes and recordings, whose handlers write at once; `tests/many_hands.py` has every kind.
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

CLIENTS, PHASE_S = 16, 15.0
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
                    assert told["success"], told
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


def votes_of(database: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rated = db.execute("SELECT count(*) FROM showings WHERE rated IS NOT NULL").fetchone()[0]
        return rated, db.execute("SELECT count(*) FROM recording_sets").fetchone()[0]


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
    confirmed = {"rated": 0, "recorded": 0}
    lock, errors = threading.Lock(), list[str]()

    def rate(app: App, config: dict[str, Any], name: str, until: float) -> None:
        page = Page(app.url, config, study=invite)
        secret, _, shown = page_load(page, name)
        while time.monotonic() < until:
            time.sleep(1.6)  # faster than anybody reads is refused
            token = shown.split('data-token="')[1].split('"')[0]
            shown = page.event("rate-item click", [secret, None], do="rate", token=token,
                               choice="first")[0]  # fmt: skip
            assert f'data-token="{token}"' not in shown
            with lock:
                confirmed["rated"] += 1

    def record(app: App, config: dict[str, Any], name: str, until: float) -> None:
        page = Page(app.url, config)
        while time.monotonic() < until:
            files = {"files": ("answers.jsonl", (data / "answers.jsonl").read_bytes())}
            path = page._http.post("/gradio_api/upload", files=files).json()[0]
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            outcome = page.event("recorded-load click", [f"{name} {uuid4()}", "", [file], "set"])[0]
            assert "were imported" in outcome, outcome
            with lock:
                confirmed["recorded"] += 1

    def work(app: App, config: dict[str, Any], number: int, until: float) -> None:
        try:
            (rate if number % 4 else record)(app, config, f"visitor {number} {until}", until)
        except (httpx.HTTPError, AssertionError, IndexError) as error:
            errors.append(f"{type(error).__name__}: {error}")

    for phase in (1, 2):
        app = start_app(data, tmp_path)
        config = httpx.get(f"{app.url}/config", timeout=60).json()
        until = time.monotonic() + PHASE_S
        threads = [
            threading.Thread(target=work, args=(app, config, n, until)) for n in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        if phase == 1:
            time.sleep(PHASE_S * 2 / 3)
            assert not errors, errors[:3]
            app.process.kill()
        for thread in threads:
            thread.join()
        if phase == 2:
            assert not errors, errors[:3]
            app.end()
        errors.clear()  # those of clients whose server was killed
        rated, recorded = votes_of(settings.database)
        assert rated >= confirmed["rated"] > 0 and recorded >= confirmed["recorded"] > 0, confirmed


def page_load(page: Page, name: str) -> list[Any]:
    """Open the page of a rater under a secret of its own."""
    found = page.load("rate-item")
    page._listeners = [{**found, "targets": [[-1, "load"]]}, *page._listeners]
    page._parts[-1] = {"props": {"elem_id": "page"}}
    return page.event("page load", [name])
