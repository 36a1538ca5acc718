"""Memory of the app's process after 2,000 visitors, against an app with Gradio's own sessions.

Both sides are the whole app in a process of its own, in this run; on the other side sessions are
what Gradio makes of them by default. Each visitor is a session that asks one thing over HTTP, as
`gradio_client` does, and goes.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from startup import ROOT, free_port, result

SESSIONS = 2000
OWN = "import app, sys; sys.exit(app.main())"
GRADIOS = "import dashboards.shell.sessions as s; s.share_defaults = lambda demo: None; " + OWN


def visit(port: int) -> None:
    """One new session asks for the models."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"data": [], "session_hash": uuid.uuid4().hex})
    connection.request("POST", "/gradio_api/run/models", body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    said = reply.read()
    connection.close()
    if reply.status != 200:
        raise RuntimeError(f"{reply.status}: {said[:200]!r}")


def grown_mb(code: str, folder: Path) -> tuple[float, float]:
    """Growth of the resident set over all visits, MB, and seconds they took."""
    port = free_port()
    env = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "IMITATION_DATA": str(folder),
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=env, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.2)
        for _ in range(20):  # what is made once
            visit(port)
        watched = psutil.Process(process.pid)
        before, began = watched.memory_info().rss, time.monotonic()
        for _ in range(SESSIONS):
            visit(port)
        return (watched.memory_info().rss - before) / 1e6, time.monotonic() - began
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryDirectory() as other:
        grown, seconds = grown_mb(OWN, Path(own))
        theirs, their_seconds = grown_mb(GRADIOS, Path(other))
    result(
        f"sessions: memory after {SESSIONS} visitors, over the start",
        round(grown, 1),
        "MB",
        "<= 100",
        grown <= 100,
        SESSIONS,
        {
            "with_gradios_sessions_mb": round(theirs, 1),
            "seconds": round(seconds, 1),
            "with_gradios_sessions_s": round(their_seconds, 1),
        },
    )


if __name__ == "__main__":
    main()
