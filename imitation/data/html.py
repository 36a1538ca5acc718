"""Answers that were copied as HTML from ChatGPT's page (early ShareGPT), and their Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

from imitation.data.steps.result import Outcome
from imitation.values import Example, Message

_HTML = re.compile(
    r'<div class="[^"]*markdown'
    r"|\A\s*<(?:p|div|pre|ol|ul|h[1-6]|table|blockquote)\b[^>]*>.*</\w+>\s*\Z",
    re.DOTALL,
)
_COPY = re.compile(r"\A\s*([\w+#.-]*?)\s*Copy code", re.IGNORECASE)
_COPIED = re.compile(r"```\s*([\w+#.-]*?)\s*Copy code[ \t]*\n?", re.IGNORECASE)
"""A fence that took the page's button along."""
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n{3,}")
_DEEPEST = 8  # levels of lists that are told apart
_SPACES = re.compile(r"\s+")


def has_html(text: str) -> bool:
    """Whether an answer is a page's HTML, or has the page's "Copy code" in its fences."""
    if "<" not in text and "opy code" not in text:
        return False
    return _is_page(text) or _COPIED.search(text) is not None


def _is_page(text: str) -> bool:
    return _HTML.search(text) is not None and _HTML.search(_FENCE.sub("", text)) is not None


def to_markdown(text: str) -> str:
    """The answer as the Markdown that the page was made from; other text stays as it is."""
    if _is_page(text):
        reader = _Reader()
        reader.feed(text)
        reader.close()
        text = reader.text()
    return _COPIED.sub(lambda found: f"```{found[1].lower()}\n", text)


def clean_html(examples: Sequence[Example]) -> Outcome:
    """Turn answers in HTML into Markdown; all conversations stay."""
    kept, changed = [], 0
    for example in examples:
        cleaned = tuple(map(_cleaned, example.messages))
        changed += cleaned != example.messages
        kept.append(replace(example, messages=cleaned))
    return Outcome(kept, changed=changed)


def _cleaned(message: Message) -> Message:
    if message.role != "assistant" or not has_html(message.content):
        return message
    # HTML that holds no text at all stays what it is: an empty answer is none.
    return replace(message, content=to_markdown(message.content) or message.content)


class _Reader(HTMLParser):
    """Writes Markdown as it reads HTML; tags without a meaning in it leave their text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._code: list[str] | None = None  # inside <pre>
        self._lists: list[int | None] = []  # of each open list the next number, None: bullets
        self._cells: list[str] | None = None
        self._header = False
        self._links: list[str] = []

    def text(self) -> str:
        lines = "".join(self._out).split("\n")
        return _EMPTY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in lines)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._code is not None:
            return
        if tag == "pre":
            self._code = []
        elif tag in ("ul", "ol"):
            self._say("" if self._lists else "\n\n")
            start = dict(attrs).get("start") or "1"
            self._lists.append(int(start) if tag == "ol" and start.isdigit() else None)
            if tag == "ol" and self._lists[-1] is None:
                self._lists[-1] = 1
        elif tag == "li":
            self._item()
        elif tag == "a":
            self._links.append(dict(attrs).get("href") or "")
            self._say("[")
        elif tag == "tr":
            self._cells = []
        elif tag in ("td", "th"):
            self._header |= tag == "th"
            if self._cells is not None:
                self._cells.append("")
        elif mark := _OPEN.get(tag):
            # The paragraph of a list item goes on behind its mark.
            inside = self._lists and tag in ("p", "div")
            self._say("" if inside else mark)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre" and self._code is not None:
            code, self._code = "".join(self._code), None
            told = _COPY.match(code)
            language = told[1].lower() if told else ""
            body = (code[told.end() :] if told else code).strip("\n")
            self._say(f"\n\n```{language}\n{body}\n```\n\n")
        elif self._code is not None:
            return
        elif tag in ("ul", "ol") and self._lists:
            self._lists.pop()
            self._say("" if self._lists else "\n\n")
        elif tag == "a" and self._links:
            self._say(f"]({self._links.pop()})")
        elif tag == "tr" and self._cells is not None:
            cells, self._cells = self._cells, None
            self._say("\n| " + " | ".join(cell.strip() for cell in cells) + " |")
            if self._header:
                self._say("\n|" + " --- |" * len(cells))
            self._header = False
        elif mark := _CLOSE.get(tag):
            inside = self._lists and tag in ("p", "div")
            self._say("" if inside else mark)

    def handle_data(self, data: str) -> None:
        if self._code is not None:
            self._code.append(data)
        elif data.strip() or not data.startswith("\n"):  # not the line ends between tags
            self._say(_SPACES.sub(" ", data) if "\n" not in data.strip() else data)

    def _item(self) -> None:
        deep = "    " * min(len(self._lists) - 1, _DEEPEST)
        number = self._lists[-1] if self._lists else None
        self._say(f"\n{deep}{'-' if number is None else f'{number}.'} ")
        if number is not None:
            self._lists[-1] = number + 1

    def _say(self, text: str) -> None:
        if self._cells:
            self._cells[-1] += text.replace("\n", " ")
        else:
            self._out.append(text)


_OPEN = {
    **{f"h{n}": f"\n\n{'#' * n} " for n in range(1, 7)},
    "p": "\n\n", "div": "\n\n", "blockquote": "\n\n> ", "br": "\n", "hr": "\n\n---\n\n",
    "strong": "**", "b": "**", "em": "*", "i": "*", "code": "`", "table": "\n",
}  # fmt: skip
_CLOSE = {
    **{f"h{n}": "\n\n" for n in range(1, 7)},
    "p": "\n\n", "div": "\n\n", "blockquote": "\n\n", "table": "\n\n",
    "strong": "**", "b": "**", "em": "*", "i": "*", "code": "`",
}  # fmt: skip
