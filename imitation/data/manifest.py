"""A dataset on disk: a folder of data.parquet, data.jsonl and manifest.json, there whole or not.

The hash of a dataset is that of data.jsonl: the same inputs and seed give the same hash, whatever
versions of the libraries wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imitation.data.format import sha256_of, to_row, write_examples
from imitation.data.sources.load import HUB, Loaded
from imitation.data.steps.result import answers_of
from imitation.data.steps.sample import Count
from imitation.disk import atomic_folder
from imitation.errors import UserError
from imitation.values import Example

if TYPE_CHECKING:  # it brings sacrebleu along, which the page has no use for
    from imitation.data.diversity import Diversity

FORMAT = 1
PARQUET, JSONL, MANIFEST = "data.parquet", "data.jsonl", "manifest.json"
_ROWS = 5_000  # of a row group


def write_dataset(
    folder: Path, examples: Sequence[Example], manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a dataset aside, then rename it to `folder`; its manifest, completed by the hashes.

    Raises:
        UserError: The folder is there already.
        StorageError: It can't be written; nothing is left behind.
    """
    refuse_existing(folder)
    with atomic_folder(folder) as aside:
        write_examples(aside / JSONL, examples)
        _write_parquet(aside / PARQUET, examples)
        files = {
            name: {"bytes": (aside / name).stat().st_size, "sha256": sha256_of(aside / name)}
            for name in (JSONL, PARQUET)
        }
        whole = {"format": FORMAT, "sha256": files[JSONL]["sha256"], **manifest, "files": files}
        text = json.dumps(whole, indent=1, ensure_ascii=False)
        (aside / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return whole


def refuse_existing(folder: Path) -> None:
    """Say so if there is something at `folder` already.

    Raises:
        UserError: There is.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already.", "Name another folder, or delete this one.")


def source_table(loaded: Loaded) -> dict[str, Any]:
    """A source for the manifest: what it is, its hash, and what could not be read."""
    source = loaded.source
    file = None if source.path.startswith(HUB) else Path(source.path)
    return {
        "name": source.name,
        "from": file.name if file else source.path,
        "sha256": sha256_of(file) if file else None,
        "licence": source.licence or "not stated",
        "weight": source.weight,
        **found_table(loaded),
        "made_by": _maker(file),
    }


def found_table(loaded: Loaded) -> dict[str, Any]:
    """What was read of a source, and what could not be."""
    return {
        "rows": loaded.rows,
        "shapes": dict(loaded.shapes),
        "conversations": len(loaded.examples),
        "refused": sum(loaded.reasons.values()),
        "reasons": dict(loaded.reasons),
        "first_refused": [asdict(refused) for refused in loaded.refused],
        "renamed_ids": loaded.renamed,
        "html": loaded.html,
    }


def manifest_of(file: Path) -> Path:
    """Where the manifest of a single file of answers lies."""
    return file.with_name(f"{file.name}.manifest")


def _maker(file: Path | None) -> dict[str, Any] | None:
    """How the answers of a file were generated, where that lies beside it."""
    try:
        found = json.loads(manifest_of(file).read_text("utf-8")) if file else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def contents(examples: Sequence[Example], count: Count, counted_by: str) -> dict[str, Any]:
    """Conversations, turns and tokens of a dataset, in all and by source."""
    by_source: dict[str, dict[str, int]] = {}
    total = outputs = 0
    for example in examples:
        mine = sum(count(answer) for answer in answers_of(example))
        tokens = mine + sum(count(m.content) for m in example.messages if m.role != "assistant")
        part = by_source.setdefault(example.source, {"conversations": 0, "tokens": 0})
        part["conversations"] += 1
        part["tokens"] += tokens
        total, outputs = total + tokens, outputs + mine
    return {
        "conversations": len(examples),
        "answers": sum(len(answers_of(example)) for example in examples),
        "tokens": total,
        "output_tokens": outputs,
        "tokens_counted_by": counted_by,
        "by_source": by_source,
    }


def diversity_table(report: Diversity) -> dict[str, Any]:
    """The diversity report for the manifest."""
    return {**asdict(report), "pairs": [asdict(pair) for pair in report.pairs]}


def _write_parquet(path: Path, examples: Sequence[Example]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    message = pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int8())])
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("messages", pa.list_(message)),
            ("meta", pa.string()),  # JSON: its keys differ from row to row
        ]
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(examples), _ROWS):
            rows = [to_row(example) for example in examples[start : start + _ROWS]]
            for row in rows:
                row["meta"] = json.dumps(row["meta"], ensure_ascii=False)
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
