"""The queue of jobs: submit, look, stop, delete.

A job's truth is its row, the files its worker leaves in its folder, and whether the process these
name is alive. They are merged at each look, so a killed job turns "failed" by itself and a restart
of the page loses nothing.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from imitation.disk import write_text
from imitation.errors import StorageError, UserError
from imitation.jobs.queue import exit_status, processes, worker
from imitation.jobs.registry import ROOT, SLOTS, command_of
from imitation.settings import Settings, leaked_secret
from imitation.storage import jobs as table
from imitation.storage.database import Store
from imitation.storage.jobs import Job
from imitation.values import JobSpec, JobState

log = logging.getLogger(__name__)

MAX_LIVE = 20
"""Jobs one visitor may have queued or running."""
GRACE_S = 60.0
"""Seconds a job may take to save its work once it is asked to stop."""
LOOK_S = 1.0
STARTING_S = 60.0
"""Seconds a worker may take to sign, on a machine that is busy."""


class Runner:
    """The queue over one store; any number of processes may have one at the same time.

    Args:
        settings: Where jobs and runs live.
        store: What holds their rows.
        grace_s: Seconds between SIGTERM and SIGKILL.
        slots: Jobs of each device that run at once.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        grace_s: float = GRACE_S,
        slots: Mapping[str, int] = SLOTS,
    ) -> None:
        self.folder = settings.data / "jobs"
        self.runs = settings.data / "runs"
        self._store, self._grace_s, self._slots = store, grace_s, slots
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._unwritten: dict[str, Job] = {}  # as they are, where a full disk keeps their rows back
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._watcher: threading.Thread | None = None
        self._closed = False

    def submit(self, spec: JobSpec) -> Job:
        """Queue a job; it starts at once where its device is free.

        Raises:
            UserError: Unknown kind, a secret in the command line, a place another live job writes
                to, or too many jobs of one visitor.
            StorageError: Its folder or its row could not be written.
        """
        argv = command_of(spec)
        if any("\0" in part for part in argv):
            raise UserError(f"{argv!r} is no command line.")
        if name := leaked_secret((spec.name, spec.out, *argv)):
            raise UserError(
                f"The command line holds the value of {name}.",
                "Leave it out: jobs get the environment, and read keys from there.",
            )
        identity = table.new_id()
        with self._lock:
            try:
                self._lay_out(identity, spec)
                table.add(self._store, identity, spec, MAX_LIVE)
            except UserError:
                shutil.rmtree(self.folder / identity, ignore_errors=True)
                raise
            self.look()
            self.watch()
            return self.job(identity)

    def look(self, kind: str | None = None) -> list[Job]:
        """Jobs of a kind (None: all), newest first, as they are now; starts what can start.

        What a full disk keeps from being written is known all the same, and written later; nothing
        is started meanwhile.

        Raises:
            StorageError: The store cannot be read.
        """
        with self._lock:
            live = table.live(self._store)
            for job in live:
                if job.state != "queued":
                    self._reconcile(self._unwritten.get(job.id, job))
            try:
                while any(job.state == "queued" for job in live) and (
                    claimed := table.claim(self._store, self._slots)
                ):
                    self._start(claimed)
            except StorageError as error:
                log.warning("No job can be started: %s", error)
            return [self._as_is(job) for job in table.newest(self._store, kind)]

    def job(self, identity: str) -> Job:
        """The job of that id, as last seen.

        Raises:
            UserError: There is none.
        """
        with self._lock:
            job = table.get(self._store, identity)
            if job is None:
                raise UserError(f"There is no job {identity!r}.", "It may have been deleted.")
            return self._as_is(job)

    def stop(self, identity: str, *, kill: bool = False) -> Job:
        """Ask a job to save its work and end. Ended ones stay as they are.

        Args:
            identity: The job.
            kill: Where it was asked before, wait no longer: kill it with all it started.

        Raises:
            UserError: There is none of that id.
            StorageError: It could not be written.
        """
        with self._lock:
            self.look()
            again = self.job(identity).state == "stopping"
            if again and not kill:
                return self.job(identity)
            job = self._stopping(self.job(identity))
            if job.state != "stopping":
                return self.job(identity)
            # The worker looks for this file once it can be signalled: see Worker.run.
            with suppress(OSError):
                (self.place(job) / worker.STOP).touch()
            signed = exit_status.signed(self.place(job))
            if signed and processes.birth(signed.pid) == signed.birth:
                with suppress(ProcessLookupError):
                    os.kill(signed.pid, signal.SIGTERM)
            elif signed and again:
                processes.end_all(signed.pid, job.id)
            elif signed:
                for process in processes.members(signed.pid, job.id):
                    with suppress(psutil.Error):
                        process.terminate()
            return job

    def delete(self, identity: str) -> None:
        """Delete an ended job, its folder, and what it wrote among the runs.

        What it wrote elsewhere, and what another job wrote to as well, is kept.

        Raises:
            UserError: There is none of that id, or it has not ended.
            StorageError: A file could not be deleted; the job is kept then.
        """
        with self._lock:
            self.look()
            job = self.job(identity)
            if job.is_live:
                raise UserError(f"The job {job.spec.name!r} is {job.state}.", "Stop it first.")
            doomed = [self.place(job)]
            out = Path(job.spec.out)
            if (
                job.spec.out
                and _inside(out, self.runs)
                and table.uses(self._store, job.spec.out) == 1
            ):
                doomed.append(out)
            for path in doomed:
                _remove(path)
            table.delete(self._store, identity)
            self._workers.pop(identity, None)

    def place(self, job: Job) -> Path:
        """The folder of a job: its command line, log and exit code."""
        return self.folder / job.id

    def output(self, job: Job) -> Path:
        """The file that holds all a job printed."""
        return self.place(job) / worker.OUTPUT

    def watch(self) -> None:
        """Go on looking in the background while a job is live, so that the queue moves on."""
        with self._lock:
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="jobs", daemon=True)
                self._watcher.start()
        self._wake.set()

    def close(self) -> None:
        """Stop looking; jobs go on."""
        with self._lock:
            self._closed = True
            self._wake.set()

    def _watch(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            try:
                while self._any_live():
                    time.sleep(LOOK_S)
            except Exception:
                log.exception("Looking after jobs failed")
                time.sleep(10 * LOOK_S)
                self._wake.set()

    def _any_live(self) -> bool:
        with self._lock:
            return not self._closed and any(job.is_live for job in self.look())

    def _lay_out(self, identity: str, spec: JobSpec) -> None:
        place = self.folder / identity
        asked = {
            "id": identity,
            "argv": command_of(spec),
            "cwd": str(ROOT),
            "grace_s": self._grace_s,
        }
        write_text(place / worker.JOB, json.dumps(asked))

    def _start(self, job: Job) -> None:
        place = self.place(job)
        try:
            with (place / worker.OUTPUT).open("ab") as output:
                self._workers[job.id] = subprocess.Popen(
                    [sys.executable, "-m", "imitation.jobs.queue.worker", str(place)],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # it outlives the page, and Ctrl-C is the page's
                )
        except OSError as error:
            log.exception("Job %s could not be started", job.id)
            self._finish(job, "failed", time.time(), f"It could not be started: {error}.")

    def _finish(self, job: Job, state: JobState, ended: float, detail: str) -> None:
        try:
            table.finish(self._store, job.id, state, ended, detail)
            self._unwritten.pop(job.id, None)
        except StorageError as error:
            log.warning("How the job %s ended cannot be written yet: %s", job.id, error)
            self._unwritten[job.id] = replace(job, state=state, ended=ended, detail=detail)

    def _stopping(self, job: Job) -> Job:
        """A job once it is asked to stop; one that fills the disk can be stopped too."""
        try:
            found = table.ask_to_stop(self._store, job.id)
        except StorageError:
            if job.state not in ("running", "stopping"):
                raise
            found = replace(job, state="stopping", stop_asked=job.stop_asked or time.time())
            self._unwritten[job.id] = found
        return found or job

    def _as_is(self, row: Job) -> Job:
        """A job as it is, which may be more than its row says."""
        known = self._unwritten.get(row.id)
        if known and row.is_live:
            return known
        self._unwritten.pop(row.id, None)
        return row

    def _reconcile(self, job: Job) -> None:
        """Note in the row how a job ended, if it has."""
        if not job.is_live:  # known, and not written yet
            self._finish(job, job.state, job.ended or time.time(), job.detail)
            return
        place = self.place(job)
        alive = self._is_alive(job)  # before the exit file: it may end in between
        end = exit_status.left(place)
        if end is None:
            if alive:
                return
            end = exit_status.Exit(code=None, ended=time.time(), stopped=job.state == "stopping")
        state, detail = exit_status.judge(job, end, place)
        self._finish(job, state, end.ended, detail)
        with suppress(KeyError, subprocess.TimeoutExpired):
            self._workers.pop(job.id).wait(5)

    def _is_alive(self, job: Job) -> bool:
        """Whether its worker, or without it anything of the job, is alive."""
        started = self._workers.get(job.id)
        running = started is not None and started.poll() is None  # poll also buries it
        signed = exit_status.signed(self.place(job))
        if signed is None:
            young = time.time() - (job.started or 0) < STARTING_S
            return running or (started is None and young)
        if processes.birth(signed.pid) == signed.birth:
            return True
        # The worker was killed. What it ran may go on, but nobody else will end it.
        if job.state == "stopping" and time.time() - (job.stop_asked or 0) > self._grace_s:
            _, left = processes.end_all(signed.pid, job.id)
            return bool(left)
        return bool(processes.members(signed.pid, job.id))


def _inside(path: Path, folder: Path) -> bool:
    """Whether a path, links followed, lies in a folder and is not the folder."""
    return folder.resolve() in path.resolve().parents


def _remove(path: Path) -> None:
    """Delete a file or folder; links are deleted, not followed."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be deleted: {error}.", "Make it writable, then try again."
        ) from error
