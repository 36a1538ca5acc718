"""A reply read as server-sent events, and as what servers send in their place.

The format is HTML's (https://html.spec.whatwg.org/multipage/server-sent-events.html), read with
more patience than it asks for: events need no empty line between them, JSON may stand on bare
lines, and a reply that is no stream at all is told apart.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

LONGEST = 32 * 2**20
"""Characters a line may have."""
_FIELDS = ("data", "event", "id", "retry", "error", "")
_DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event.

    Attributes:
        value: What its JSON says; None for the event that ends a stream.
        name: Of the event; "" where it has none.
        bare: Whether the JSON stood there alone, as a reply that is no stream has it.
    """

    value: Any
    name: str = ""
    bare: bool = False


class NotAnEvent(ValueError):
    """What came is none; `seen` is its text."""

    def __init__(self, seen: str) -> None:
        super().__init__(seen[:200])
        self.seen = seen


class EventReader:
    """Reads one reply.

    Args:
        chunks: Its bytes as they come, already unpacked.
        sign: Called with each of them, as a sign of life.

    Attributes:
        arrivals: Reads from the network so far.
    """

    def __init__(
        self, chunks: AsyncIterator[bytes], sign: Callable[[], None] = lambda: None
    ) -> None:
        self._chunks = chunks
        self._sign = sign
        self._name = ""
        self._pending: list[str] = []
        self._bare = False
        self.arrivals = 0

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Events as they become whole.

        Raises:
            NotAnEvent: What came is none, such as a web page or half an event.
        """
        speaks = False
        page: list[str] = []
        async for line in self._lines():
            if not speaks:
                # The first line tells a stream, or bare JSON, from a page or a sentence.
                speaks = not page and (_is_bare(line) or line.partition(":")[0] in _FIELDS)
            if not speaks:
                page += [line] if line.strip() else []
            elif event := self._take(line):
                yield event
        if rest := "\n".join(page or self._pending).strip():
            raise NotAnEvent(rest)

    def _take(self, line: str) -> StreamEvent | None:
        """The event that is whole with this line, if one is."""
        if self._bare or _is_bare(line):
            # JSON without its "data:": an error in a stream, or a reply that is no stream.
            self._bare = True
            self._pending.append(line)
            return self._whole()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line.strip():
            if self._pending:
                raise NotAnEvent("\n".join(self._pending))
            self._name = ""
        elif field == "event":
            self._name = value.strip()
        elif field in ("data", "error"):
            self._name = "error" if field == "error" else self._name
            self._pending.append(value)
            return self._whole()
        return None

    def _whole(self) -> StreamEvent | None:
        """The pending lines as an event, None where more have to come."""
        text = "\n".join(self._pending).strip()
        value: Any = None
        if text and text != _DONE:
            try:
                value = json.loads(text)
            except ValueError:
                if self._name != "error" or text.startswith(("{", "[")):
                    return None
                value = {"error": text}  # told in words
            except RecursionError as error:
                raise NotAnEvent(text) from error
        value = None if value == _DONE else value  # some write it as JSON
        self._pending.clear()
        bare, self._bare = self._bare, False
        return StreamEvent(value, self._name, bare) if text else None

    async def _lines(self) -> AsyncIterator[str]:
        """Lines without their ends, whichever of the three kinds those are."""
        utf8 = codecs.getincrementaldecoder("utf-8-sig")("replace")
        decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
        parts: list[str] = []
        size = 0
        async for chunk in self._chunks:
            self.arrivals += 1
            self._sign()
            *whole, rest = decoder.decode(chunk).split("\n")
            for line in whole:
                yield "".join((*parts, line))
                parts.clear()
            size = 0 if whole else size
            parts.append(rest)
            size += len(rest)
            if size > LONGEST:
                raise NotAnEvent(parts[0])
        if last := "".join((*parts, decoder.decode(b"", final=True))).rstrip("\n"):
            yield last


def _is_bare(line: str) -> bool:
    return line.lstrip().startswith(("{", "["))
