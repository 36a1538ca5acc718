"""trackio's page of the tracked runs, in a process of its own on loopback.

    python -m training.tracking_server

prints {"url": ...} and serves until standard input ends. `TrackingServer` starts it and keeps the
other end of the pipe: when the app ends, however it ends, so does this.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

from imitation.errors import UserError
from imitation.jobs.queue.progress import tail
from imitation.jobs.registry import ROOT
from imitation.settings import Settings, read_settings
from training.tracking import PROJECT, folder

LOOPBACK = "127.0.0.1"


class TrackingServer:
    """Starts trackio's page when it is first wanted.

    Args:
        settings: The data folder, in which the tracked runs lie.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._url = settings, ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def url(self, within_s: float = 60.0) -> str:
        """Its address, once it answers. Blocks while it starts, which takes about a second.

        Raises:
            UserError: It did not start; what it said last is quoted.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start(within_s)
            return self._url

    def close(self) -> None:
        """End it, if it runs."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.communicate()

    def _start(self, within_s: float) -> None:
        log = self._settings.data / "logs" / "trackio.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        env = {"TRACKIO_DIR": str(folder(self._settings)), **os.environ}
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "training.tracking_server"],
                cwd=ROOT,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is the app's to handle
            )
        assert self._process.stdout is not None
        late = threading.Timer(within_s, self._process.kill)
        late.start()
        line = self._process.stdout.readline()
        late.cancel()
        if not line:
            said = tail(log).strip().rpartition("\n")[2]
            raise UserError(f"trackio did not start: {said[:300]}", f"Its log is {log}.")
        self._url = str(json.loads(line)["url"])


def main() -> int:
    """Serve until standard input ends."""
    os.environ.setdefault("TRACKIO_DIR", str(folder(read_settings())))
    report = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # trackio prints a token that allows to write
    import trackio

    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    _, url, *_ = trackio.show(
        host=LOOPBACK, server_port=port, open_browser=False, share=False, block_thread=False
    )
    # Its own default smooths, and so invents a start that no run has had.
    print(json.dumps({"url": f"{url}?project={PROJECT}&smoothing=0"}), file=report, flush=True)
    report.close()
    sys.stdin.buffer.read()
    os._exit(0)  # its threads would hold the end back


if __name__ == "__main__":
    sys.exit(main())
