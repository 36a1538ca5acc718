"""What a client keeps while an answer comes in: text held back, tokens, times."""

from __future__ import annotations

import time

from imitation.values import Delta, Done

_FINISHED = {"eos_token": "stop", "stop_sequence": "stop", "eos": "stop", "end_turn": "stop"}


class Tally:
    """Passes an answer on up to its first stop string, and says how it ended.

    Some servers send the stop string itself, or take fewer of them than were wanted; so text
    that may turn out to be the beginning of one is held back until that is decided.

    Args:
        stop: Stop strings; empty ones are ignored.
        started: When the request was first sent, by `time.perf_counter`; now if left out.
    """

    def __init__(self, stop: tuple[str, ...] = (), started: float | None = None) -> None:
        self.stop = tuple(s for s in stop if s)
        self.stopped = False
        self.pieces = 0
        self._after = 0
        self._held = ""
        self._started = time.perf_counter() if started is None else started
        self._first: float | None = None

    def feed(self, text: str) -> Delta | None:
        """Text that may be shown now that `text` has come; None where there is none."""
        if self.stopped:
            self._after += 1
        if not text or self.stopped:
            return None
        self.pieces += 1
        self._held += text
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
        shown, self._held = self._held, ""
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
