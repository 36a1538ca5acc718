"""The app as a program: what it says when it cannot start, and what it survives."""

import os
import socket
import subprocess
import sys
import time
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
