"""A run in trackio too, on this machine; `training.tracking_server` serves its page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imitation.settings import Settings
from training.config import TrainingConfig, to_table

PROJECT = "imitation-lab"
_STEP = ("loss", "learning_rate", "grad_norm", "tokens", "trained_tokens")


def folder(settings: Settings) -> Path:
    """Where trackio keeps its own, unless TRACKIO_DIR says otherwise."""
    return settings.data / "trackio"


class Tracker:
    """Passes progress lines on to trackio.

    Args:
        config: Of the run; its name is the run's there.
        settings: The data folder.
        resumed: Go on with the run of that name.
    """

    def __init__(self, config: TrainingConfig, settings: Settings, *, resumed: bool) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(folder(settings)))  # read by the import
        import trackio

        self._trackio = trackio
        trackio.init(
            project=PROJECT,
            name=config.name,
            config=to_table(config),
            resume="allow" if resumed else "never",
            embed=False,
            auto_log_cpu=False,
        )

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Log what a progress line measured, if it measured anything."""
        event = line["event"]
        if event == "step":
            values = {key: line[key] for key in _STEP}
        elif event == "validation":
            values = {"validation_loss": line["loss"]}
        elif event == "score":
            values = {str(line["name"]): line["value"], f"{line['name']}_n": line["n"]}
        else:
            return
        self._trackio.log(values, step=line["step"])

    def finish(self) -> None:
        """Write out what is left."""
        self._trackio.finish()
