"""The app as a program: what it says when it cannot start, and what it survives."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.browser.conftest import start_app

ROOT = Path(__file__).parent.parent


def run(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python app.py` until it ends by itself."""
    env = os.environ | {
        "IMITATION_DATA": str(folder / "data"),
        "IMITATION_CACHE": str(folder / "cache"),
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=env | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_a_port_in_use_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tmp_path, GRADIO_SERVER_PORT=str(port))
    assert done.returncode == 1
    assert f"Port {port} is in use. Set GRADIO_SERVER_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_wrong_settings_are_listed_in_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path, IMITATION_CORES="many", IMITATION_TIMEOUT_S="soon")
    assert done.returncode == 1
    assert "2 problems" in done.stderr and "'many'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_data_folder_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "IMITATION_DATA" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_proxy_does_not_come_between_the_app_and_itself(tmp_path: Path) -> None:
    proxy = "http://127.0.0.1:9"
    app = start_app(tmp_path, tmp_path, HTTP_PROXY=proxy, http_proxy=proxy, ALL_PROXY=proxy)
    try:
        # Printed once the app has asked itself for its page, which a proxy would have prevented.
        deadline = time.monotonic() + 60
        while "Running on" not in app.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        said = app.log.read_text()
    finally:
        app.end()
    assert "Running on" in said and "Traceback" not in said


@pytest.mark.slow
def test_a_program_that_sends_nonsense_is_answered_and_does_not_fill_the_log(
    tmp_path: Path,
) -> None:
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    wrong = (
        ["x"],  # too few
        ["\0", ["\0"], "", 0.7, 0.95, 16, 0],
        ["x" * 100_000, ["y" * 100_000], "", 0.7, 0.95, 16, 0],
        [deep, deep, deep, deep, deep, deep, deep],
        ["q", ["pocket-base"], "", "hot", [], {}, "z" * 100_000],
    )
    bodies = [json.dumps({"data": data}).encode() for data in wrong]
    bodies += [b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"\0", b"[]", b"{"]
    app = start_app(tmp_path, tmp_path)
    try:
        for _ in range(4):
            for body in bodies:
                answer = called(app.url, body)
                assert len(answer) < 20_000 and "Traceback" not in answer
        said = app.log.read_text()
    finally:
        app.end()
    assert said.count("Traceback") <= len(wrong), "each kind once"
    assert len(said) < 100_000, "what was sent is not kept in full"


def called(url: str, body: bytes) -> str:
    """What `/compare` answers to a body, in the end."""
    place = f"{url}/gradio_api/call/compare"
    asked = urllib.request.Request(place, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            event = json.load(answer)["event_id"]
        with urllib.request.urlopen(f"{place}/{event}", timeout=60) as stream:
            return str(stream.read().decode())
    except urllib.error.HTTPError as error:
        assert 400 <= error.code < 500
        return error.read().decode()
