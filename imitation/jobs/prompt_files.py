"""Prompts to be answered, read from files or made of the packaged facts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imitation.data.format import read_rows
from imitation.errors import StorageError
from imitation.facts import facts_of
from imitation.reading.json_text import NotJson, parse_json
from imitation.text import clean_values

LINE = 'A line is {"id": "...", "prompt": "..."}.'


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: its id, its text, and what is kept along."""

    id: str
    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)


def read_prompts(path: Path) -> list[Prompt]:
    """Prompts of a JSONL file of `{"id", "prompt", ...}`; other keys are kept along.

    A prompt without an id is named by its line.

    Raises:
        StorageError: The file cannot be read, or a line is no such object, or an id comes twice.
    """
    prompts: dict[str, Prompt] = {}
    for number, line in read_rows(path):
        try:
            row = parse_json(line)
        except NotJson as error:
            raise StorageError(f"{path}, line {number} is no prompt: {error}", LINE) from error
        if not isinstance(row, dict) or "prompt" not in row:
            raise StorageError(f"{path}, line {number} has no field prompt.", LINE)
        row = clean_values(row)
        name, text = str(row.pop("id", f"line-{number}")), row.pop("prompt")
        if not isinstance(text, str) or not text.strip() or name in prompts:
            raise StorageError(f"{path}, line {number}: the prompt is empty or its id came before")
        prompts[name] = Prompt(name, text, row)
    if not prompts:
        raise StorageError(f"{path} has no prompts.", LINE)
    return list(prompts.values())


def fact_prompts(split: Any) -> list[Prompt]:
    """The questions of one side of the packaged facts; their answers are not kept along."""
    return [Prompt(fact.id, fact.question, {"type": fact.topic}) for fact in facts_of(split)]


def seed_of(seed: int, prompt: Prompt) -> int:
    """A seed for each prompt, so that answers depend neither on order nor on each other."""
    return int(hashlib.sha256(f"{seed}:{prompt.id}".encode()).hexdigest()[:8], 16) >> 1
