"""Recorded outputs read from files of any known format and joined into one Recording.

Formats are recognised by their fields (`recording_formats`), files may come in any order. A line
that cannot be used is refused with its file, number and reason; the others load.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from imitation.models.recordings.formats import Format, Item, Reply, RowError, recognise
from imitation.models.recordings.lines import WHOLE_FILE, Row, read_rows
from imitation.values import RecordedPrompt, Recording, Refused


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read.

    Attributes:
        path: Where it is.
        label: What it is called in refusals; its name if empty.
        answers: True or False where it is known to hold answers or only questions.
    """

    path: Path
    label: str = ""
    answers: bool | None = None

    @property
    def name(self) -> str:
        """The label, or the file's name."""
        return self.label or self.path.name


@dataclass(frozen=True, slots=True)
class _File:
    source: Source
    format: Format | None
    items: list[tuple[int, Item]]
    refused: list[Refused]

    @property
    def repeats(self) -> bool:
        return self.format is not None and self.format.repeats


def read_recording(sources: Iterable[Source]) -> Recording:
    """Everything usable in `sources`, joined on question ids or, without ids, on the wording.

    Each turn of a conversation becomes a prompt of its own. A model that two files answer the
    same prompts for becomes two models, the second with its file's name added.

    Raises:
        UserError: A file cannot be opened.
    """
    files = [_read(source) for source in sources]
    joined = _Joined()
    # Ids first, so that rows without one find their question by its wording.
    for with_id in (True, False):
        for file in files:
            for line, item in file.items:
                if (item.id is not None) == with_id:
                    joined.add_prompts(file, line, item)
    for file in files:
        joined.add_answers(file)
    return joined.recording(files)


def model_name(path: Path) -> str:
    """A model's name where its rows give none: the file's, without FastChat's `answer_`."""
    return path.stem.removeprefix("answer_") or path.name


def wording(turns: Sequence[str]) -> tuple[str, ...]:
    """Messages as they are compared: runs of white space are one space, ends trimmed."""
    return tuple(" ".join(turn.split()) for turn in turns)


def _read(source: Source) -> _File:
    rows: list[Row] = []
    refused: list[Refused] = []
    for found in read_rows(source.path, source.name):
        if isinstance(found, Row):
            rows.append(found)
        else:
            refused.append(found)
    kind = recognise((row.value for row in rows), answers=source.answers)
    items = []
    if kind is not None:
        for row in rows:
            problems: list[str] = []
            try:
                items.append((row.line, kind.parse(row.value, problems, model_name(source.path))))
            except RowError as error:
                problems.append(str(error))
            refused += [Refused(source.name, row.line, problem) for problem in problems]
    elif rows:
        fields = ", ".join(repr(str(name)[:30]) for name in list(rows[0].value)[:5])
        reason = f"the file has no known format: the fields of this row are {fields or 'none'}"
        refused.append(Refused(source.name, rows[0].line, reason))
    elif not refused:
        refused.append(Refused(source.name, WHOLE_FILE, "the file is empty"))
    return _File(source, kind, items, refused)


class _Joined:
    """The recording under construction."""

    def __init__(self) -> None:
        self.prompts: list[RecordedPrompt] = []
        self.found: dict[Hashable, RecordedPrompt] = {}
        self.ids: set[str] = set()
        self.wordings: dict[str, tuple[tuple[str, ...], str]] = {}
        self.answers: dict[str, dict[str, str]] = {}
        self.files: dict[str, list[str]] = {}

    def add_prompts(self, file: _File, line: int, item: Item) -> None:
        """Note the prompts of one row; an id that comes again must come with the same words."""
        if item.turns is None or file.format is None:
            return
        if item.id is not None:
            asked = wording(item.earlier + item.turns)
            where = f"line {line} of {file.source.name}"
            before, place = self.wordings.setdefault(item.id, (asked, where))
            if before != asked or (place != where and not file.format.answers):
                differs = "" if before == asked else " with other words"
                reason = f"question {item.id} was already asked{differs} ({place})"
                file.refused.append(Refused(file.source.name, line, reason))
                return
        # A file of answers need not have answered every turn; a file of questions asks them all.
        answered = {reply.turn for reply in item.replies}
        for turn, text in enumerate(item.turns):
            key = _key(item, turn)
            if key not in self.found and (turn in answered or not file.format.answers):
                earlier = item.earlier + item.turns[:turn]
                prompt = RecordedPrompt(self._free_id(item.id, turn), text, item.category, earlier)
                self.prompts.append(prompt)
                self.found[key] = prompt
                self.found.setdefault(wording((*earlier, text)), prompt)

    def add_answers(self, file: _File) -> None:
        """Add one file's answers, each model under a name that is free for all of them."""
        if not (file.source.answers or (file.format and file.format.answers)):
            return
        found: dict[str, dict[str, tuple[int, str]]] = {}
        for line, item in file.items:
            for reply in item.replies:
                try:
                    if prompt := self._answered(item, reply):
                        _note(found.setdefault(reply.model, {}), file, reply, prompt, line)
                except RowError as error:
                    file.refused.append(Refused(file.source.name, line, str(error)))
        if not found:
            found = {model_name(file.source.path): {}}
        for model, noted in found.items():
            texts = {prompt: text for prompt, (_, text) in noted.items()}
            name = self._free_name(model, texts, file)
            self.answers.setdefault(name, {}).update(texts)
            names = self.files.setdefault(name, [])
            if file.source.name not in names:
                names.append(file.source.name)

    def recording(self, files: Iterable[_File]) -> Recording:
        """What was joined."""
        return Recording(
            tuple(self.prompts),
            self.answers,
            {model: tuple(names) for model, names in self.files.items()},
            tuple(r for file in files for r in sorted(file.refused, key=lambda r: r.line)),
        )

    def _answered(self, item: Item, reply: Reply) -> RecordedPrompt | None:
        """The prompt a reply belongs to; None if its row was refused with its question."""
        if item.id is not None and item.id not in self.wordings:
            end = "" if self.wordings else ": no file of questions was given"
            raise RowError(f"there is no question {item.id}{end}")
        asked = None if item.turns is None else wording(item.earlier + item.turns)
        if item.id is not None and asked not in (None, self.wordings[item.id][0]):
            return None
        prompt = self.found.get(_key(item, reply.turn))
        if prompt is None:
            raise RowError(f"question {item.id} has no turn {reply.turn + 1}")
        return prompt

    def _free_id(self, given: str | None, turn: int) -> str:
        name = str(len(self.prompts) + 1) if given is None else given
        name = f"{name}/{turn + 1}" if turn else name
        while name in self.ids:
            name += "'"
        self.ids.add(name)
        return name

    def _free_name(self, model: str, texts: Mapping[str, str], file: _File) -> str:
        def clashes(name: str) -> bool:
            there = self.answers.get(name, {})
            return any(p in there and not (file.repeats and there[p] == texts[p]) for p in texts)

        names = (f"{model} ({file.source.path.stem}{end})" for end in _endings())
        return model if not clashes(model) else next(n for n in names if not clashes(n))


def _endings() -> Iterator[str]:
    yield ""
    yield from (f" {number}" for number in count(2))


def _key(item: Item, turn: int) -> Hashable:
    """What identifies a prompt: question id and turn, or all words up to the turn."""
    if item.id is not None:
        return item.id, turn
    return wording(item.earlier + (item.turns or ())[: turn + 1])


def _note(
    answers: dict[str, tuple[int, str]],
    file: _File,
    reply: Reply,
    prompt: RecordedPrompt,
    line: int,
) -> None:
    if prompt.id not in answers:
        answers[prompt.id] = line, reply.text
        return
    first, text = answers[prompt.id]
    if not (file.repeats and text == reply.text):
        raise RowError(
            f"a second answer of {reply.model} to question {prompt.id} (the first: line {first})"
        )
