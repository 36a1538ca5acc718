"""trackio: what a run measures is in it, and its page shows it, in a process of its own."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace

import psutil
import pytest

from imitation.errors import UserError
from imitation.settings import read_settings
from training.tracking_server import TrackingServer

# A process of its own: trackio keeps threads, and reads its folder from the environment once.
TRACKS = (
    "import sys; from dataclasses import replace; from pathlib import Path\n"
    "from imitation.settings import read_settings; from training.config import preset\n"
    "from training.tracking import Tracker\n"
    "settings = replace(read_settings({}), data=Path(sys.argv[1]))\n"
    "tracker = Tracker(preset('pocket-local'), settings, resumed=False)\n"
    "tracker({'event': 'validation', 'step': 0, 'loss': 2.5})\n"
    "tracker({'event': 'setup'})\n"
    "tracker.finish()\n"
)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """Settings of a data folder with one tracked run."""
    data = tmp_path_factory.mktemp("data")
    env = {key: value for key, value in os.environ.items() if not key.startswith("TRACKIO")}
    done = subprocess.run([sys.executable, "-c", TRACKS, str(data)], env=env, timeout=60)
    assert done.returncode == 0
    return replace(read_settings({}), data=data)


@pytest.fixture
def server(tracked, monkeypatch):
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    made = TrackingServer(tracked)
    yield made
    made.close()


def asked(url, name, **values):
    """What an endpoint of trackio's page answers."""
    root = url.partition("/?")[0]
    body = json.dumps(values).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{root}/api/{name}", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_the_page_serves_what_was_tracked_on_loopback_only(server, tracked):
    url = server.url()
    assert url.startswith("http://127.0.0.1:") and "/?project=imitation-lab&" in url
    assert "token" not in url
    assert server.url() == url, "one process, started once"
    (run,) = asked(url, "get_runs_for_project", project="imitation-lab")["data"]
    assert run["name"] == "pocket-local"
    (line,) = asked(url, "get_logs", project="imitation-lab", run=run["name"])["data"]
    assert line["validation_loss"] == 2.5
    with pytest.raises(urllib.error.HTTPError):  # who only looks deletes nothing
        asked(url, "delete_run", project="imitation-lab", run=run["name"])
    logged = (tracked.data / "logs" / "trackio.log").read_text()
    assert "write_token" not in logged


@pytest.mark.slow
def test_it_ends_with_what_started_it_and_starts_anew(server):
    first = server.url()
    process = psutil.Process(server._process.pid)
    server._process.stdin.close()  # as when the app dies
    process.wait(10)
    assert server.url() and server._process.pid != process.pid
    assert first.startswith("http")


def test_what_keeps_it_from_starting_is_said(tracked, monkeypatch, tmp_path):
    (tmp_path / "trackio.py").write_text("raise ImportError('a broken <library>')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = TrackingServer(tracked)
    with pytest.raises(UserError, match="trackio did not start: ImportError: a broken") as caught:
        server.url()
    assert "trackio.log" in caught.value.hint
    server.close()
