"""Files of conversations that can be trained on, as far as a visitor may see them."""

from __future__ import annotations

from pathlib import Path

from imitation.data.library import datasets
from imitation.settings import PACKAGE, Settings

SHIPPED = PACKAGE / "data" / "pocket"
_NO_DATA = (".failures.jsonl", ".rounds.jsonl")  # what generating answers leaves beside them


def data_files(settings: Settings, visitor: str) -> list[tuple[str, str]]:
    """(label, path) of what can be trained on: shipped, built in the lab, the visitor's uploads."""
    found = [(f"{path.stem.capitalize()}, shipped", path) for path in sorted(SHIPPED.glob("*"))]
    place = settings.data / "datasets"
    built = {one.jsonl: one for one in datasets(place)}
    found += [
        (f"{one.name}, built here: {one.conversations:,} conversations", path)
        for path, one in built.items()
    ]
    found += [
        (str(path.relative_to(place)), path)
        for path in sorted(place.rglob("*.jsonl"))
        if path.name != "progress.jsonl" and not path.name.endswith(_NO_DATA) and path not in built
    ]
    mine = sorted(uploads(settings, visitor).glob("*.jsonl"))
    found += [(f"{path.name}, uploaded", path) for path in mine]
    return [(label, str(path)) for label, path in found if path.suffix == ".jsonl"]


def dataset_file(settings: Settings, name: str) -> str | None:
    """Path of the conversations of a dataset built here; None where there is none."""
    built = datasets(settings.data / "datasets")
    return next((str(one.jsonl) for one in built if one.name == name), None)


def is_shipped(data: str) -> bool:
    """Whether a path is of shipped data, or none: another preset comes with its own."""
    return not data or SHIPPED in Path(data).parents


def uploads(settings: Settings, visitor: str) -> Path:
    """The folder of a visitor's own files."""
    return settings.data / "uploads" / visitor[:16]
