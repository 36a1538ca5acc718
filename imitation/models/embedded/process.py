"""One embedded engine seen from the outside: start, wait until ready, watch, end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from imitation.errors import BackendError
from imitation.models.embedded.server import ServerParameters
from imitation.settings import PACKAGE

SLOTS = 4
"""Answers one engine writes at once; more wait inside it."""

_SPINS = "1000"
"""How often OpenMP's threads look before they sleep at a barrier, some 20 microseconds.

By default they look for milliseconds, which on busy cores costs nearly everything: on 2 cores,
two engines of 2 threads made 4 tokens/s together, with this 65. Alone on the machine an engine
loses nothing by it (77 tokens/s against 68), but without any spinning it would (31).
"""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine serves; equal specs share one engine.

    Attributes:
        weights: The model's GGUF.
        adapter: LoRA GGUF preloaded on it, if any.
        context: Tokens each of its slots holds.
        copy: Number among engines of the same model, for work that is asked in parallel.
    """

    weights: Path
    adapter: Path | None = None
    context: int = 2048
    copy: int = 0

    @property
    def name(self) -> str:
        """Short name, for the request, the log and people."""
        name = self.weights.stem + (f"+{self.adapter.stem}" if self.adapter else "")
        return name + (f"-{self.copy + 1}" if self.copy else "")


class EngineProcess:
    """A running engine; the constructor blocks until it answers.

    Args:
        spec: What to serve.
        threads: Threads it computes with, fixed for its life.
        log: File its messages go to, replaced; without it where the file cannot be written.
        within_s: Seconds it may take to load.

    Raises:
        BackendError: It ended or was not ready in time; what it logged is quoted.
    """

    def __init__(self, spec: EngineSpec, threads: int, log: Path, within_s: float) -> None:
        self.spec, self.threads, self._log = spec, threads, log
        parameters = ServerParameters(
            weights=str(spec.weights),
            name=spec.name,
            context=spec.context,
            slots=SLOTS,
            threads=threads,
            adapter=str(spec.adapter or ""),
        )
        command = [sys.executable, "-P", "-m", "imitation.models.embedded.server"]
        command.append(parameters.as_argument())
        env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
        env["GOMP_SPINCOUNT"] = _SPINS
        output = _open_log(log)
        try:
            self._process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output or subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the page's to handle
            )
        finally:
            if output is not None:
                os.close(output)
        try:
            self.url = self._wait_ready(within_s)
        except BaseException:
            self.end()
            raise

    def _wait_ready(self, within_s: float) -> str:
        assert self._process.stdout is not None
        late = threading.Timer(within_s, self._process.kill)
        late.start()
        try:
            line = self._process.stdout.readline()
        finally:
            in_time = late.is_alive()
            late.cancel()
        if not line:
            how = self.how_it_ended(5.0) if in_time else f"not ready after {within_s:g} s"
            raise BackendError(f"The engine of {self.spec.name} did not start: {how}.", self.hint)
        return str(json.loads(line)["url"])

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def hint(self) -> str:
        """What to do about its end."""
        if self._process.poll() == -signal.SIGILL:
            return "The engine needs a CPU with AVX2; use a model behind an endpoint instead."
        return f"Its log is {self._log}."

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def how_it_ended(self, within_s: float = 0.0) -> str | None:
        """How it ended, in words; None if it still runs after `within_s` seconds. Blocks."""
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None
        if code < 0:
            with suppress(ValueError):
                return f"signal {-code}, {signal.Signals(-code).name}"
            return f"signal {-code}"
        return f"exit status {code}{self._last_words()}"

    def _last_words(self) -> str:
        """llama.cpp's first error, which is its most exact one, else the log's last line."""
        try:
            log = self._log.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""
        found = re.search(r"^[\d.]+ E (.+)", log, re.MULTILINE)
        said = found[1] if found else log.rpartition("\n")[2]
        return f": {said.strip()[:300]}" if said else ""

    def resident_bytes(self) -> int | None:
        """Its resident memory, weights in the page cache included; None once it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return None

    def end(self) -> None:
        """End it now, answers being written included; safe to call twice."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _open_log(path: Path) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError:  # a full or read-only disk is no reason not to answer
        return None
