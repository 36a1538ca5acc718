"""The MT-bench human judgments from the hub: six models' answers to 80 two-turn questions.

https://huggingface.co/datasets/lmsys/mt_bench_human_judgments (CC-BY-4.0), Parquet, one row per
judgment; the verdicts are not read, only the conversations judged.
"""

from __future__ import annotations

from pathlib import Path

from imitation.errors import UserError

REPOSITORY = "lmsys/mt_bench_human_judgments"
REFERENCE = "gpt-3.5-turbo"
"""The model of the set that the study calls the reference (ChatGPT)."""


def fetch(cache: Path, *, offline: bool = False, timeout_s: float = 10.0) -> list[Path]:
    """The set's Parquet files (1.4 MB), from the cache where they are there.

    Args:
        cache: Folder for downloads.
        offline: True looks into the cache only.
        timeout_s: Seconds the hub may take to answer the first request.

    Raises:
        UserError: Neither the hub nor the cache has them.
    """
    import httpx2  # what huggingface_hub 2 speaks HTTP with; it raises its errors as they are
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            REPOSITORY,
            repo_type="dataset",
            allow_patterns=["data/human-*.parquet"],
            cache_dir=cache / "hub",
            etag_timeout=timeout_s,
            local_files_only=offline,
        )
    except (OSError, httpx2.HTTPError) as error:
        first = str(error).strip().splitlines()[0].removeprefix("Got: ").rstrip(".")
        reason = "the app is kept offline by IMITATION_OFFLINE" if offline else first
        raise UserError(
            f"{REPOSITORY} could not be fetched: {reason}.",
            "With a connection to huggingface.co try again, or download data/human-*.parquet from "
            "the set's page and import that file.",
        ) from error
    files = sorted(Path(folder).glob("data/human-*.parquet"))
    if not files:
        raise UserError(
            f"{REPOSITORY} has no data/human-*.parquet any more.",
            "Download its Parquet file by hand and import that.",
        )
    return files
