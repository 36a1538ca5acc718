"""What is run as a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

JobState = Literal["queued", "running", "stopping", "stopped", "failed", "out_of_memory", "done"]
LIVE_STATES: tuple[JobState, ...] = ("queued", "running", "stopping")
"""States of a job that has not ended."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What is to be run as a job.

    Attributes:
        kind: A key of `imitation.jobs.registry.KINDS`.
        parameters: The kind's parameters (`imitation.jobs.parameters`) as plain values; they
            never hold a secret.
        name: What people read.
        device: "cpu", "io" or "gpu:N"; jobs of a device wait for each other.
        out: Absolute path of the folder or file it writes; no other live job may use it.
        progress: Absolute path of the JSON-lines file it writes, "" where it writes none.
        visitor: Hash of its owner's secret, None for the command line.
    """

    kind: str
    parameters: Mapping[str, Any]
    name: str
    device: str = "cpu"
    out: str = ""
    progress: str = ""
    visitor: str | None = None
