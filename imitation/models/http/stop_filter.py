"""What a client keeps while an answer comes in: text held back, tokens, times."""

from __future__ import annotations

import time

from imitation.text import Joiner
from imitation.values import Delta, Done

_FINISHED = {
    **dict.fromkeys(("eos_token", "stop_sequence", "eos", "end_turn"), "stop"),
    **dict.fromkeys(("max_tokens", "model_length", "max_output_tokens"), "length"),
}


class StopFilter:
    """Passes an answer on up to its first stop string, and says how it ended.

    All text of all servers passes here, so this is where characters are made whole: some servers
    send the halves of a UTF-16 pair in two events.

    Some servers send the stop string itself, or take fewer of them than were wanted; so text
    that may turn out to be the beginning of one is held back until that is decided.

    Args:
        stop: Stop strings; empty ones are ignored.
        started: When the request was first sent, by `time.perf_counter`; now if left out.
        max_tokens: New tokens asked for, where the answer's end is to be held against them.
    """

    def __init__(
        self,
        stop: tuple[str, ...] = (),
        started: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.stop = tuple(s for s in stop if s)
        self.stopped = False
        self.pieces = 0
        self._max_tokens = max_tokens
        self._arrivals = 0
        self._last_arrival: int | None = None
        self._joiner = Joiner()
        self._after = 0
        self._held = ""
        self._started = time.perf_counter() if started is None else started
        self._first: float | None = None

    def feed(self, text: str, arrival: int | None = None) -> Delta | None:
        """Text that may be shown now that `text` has come; None where there is none.

        Args:
            text: The next piece.
            arrival: Number of the read from the network that brought it, where known; pieces of
                one read came at once, and say nothing about speed.
        """
        if self.stopped:
            self._after += 1
        if not text or self.stopped:
            return None
        self.pieces += 1
        if arrival is None or arrival != self._last_arrival:
            self._arrivals, self._last_arrival = self._arrivals + 1, arrival
        self._held += self._joiner.feed(text)
        found = [at for s in self.stop if (at := self._held.find(s)) >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
        else:
            keep = self._pending()
            cut = len(self._held) - keep
            shown, self._held = self._held[:cut], self._held[cut:]
        return self._show(shown)

    @property
    def over(self) -> bool:
        """True once nothing more is worth waiting for.

        A server that ended at the stop string still says how it ended; one that did not would
        write on unread.
        """
        return self._after > 2

    def flush(self) -> Delta | None:
        """Text still held back, once no more will come."""
        rest = "" if self.stopped else self._joiner.feed("", last=True)
        shown, self._held = self._held + rest, ""
        return self._show(shown)

    def done(
        self,
        finish_reason: str,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
    ) -> Done:
        """How the answer ended; pieces are counted where the server counted no tokens."""
        return Done(
            finish_reason="stop" if self.stopped else _FINISHED.get(finish_reason, finish_reason),
            max_tokens=self._max_tokens,
            arrivals=self._arrivals,
            prompt_tokens=prompt_tokens,
            completion_tokens=self.pieces if completion_tokens is None else completion_tokens,
            tokens_are_approximate=completion_tokens is None,
            first_token_s=self._first,
            total_s=time.perf_counter() - self._started,
        )

    def _pending(self) -> int:
        """Characters at the end that could begin a stop string."""
        longest = max((len(s) for s in self.stop), default=1) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(s.startswith(self._held[-size:]) for s in self.stop):
                return size
        return 0

    def _show(self, text: str) -> Delta | None:
        if not text:
            return None
        if self._first is None:
            self._first = time.perf_counter() - self._started
        return Delta(text)
