"""The model inside the look-alike of TGI: tokens, and whose weights compute them.

What it does wrong is what TGI 3.3.7 does wrong (server/text_generation_server: adapters/lora.py,
models/flash_causal_lm.py, cli.py; launcher/src/main.rs; router/src/infer and validation.rs):

- A name that no adapter has is the base.
- CUDA graphs, which the launcher sets unless told `--cuda-graphs 0`, hold no adapter: every token
  after the first is the base's.
- In a decode step the pointers to the adapters' weights are compacted, one list a rank, but looked
  up by the segment's number in the whole batch.
"""

import asyncio
import random
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from tests.models.servers import Dropped

BASE, GARBAGE = "", "?"


@dataclass(frozen=True)
class Token:
    """One token made: the last of an answer has a finish reason."""

    text: str
    logprob: float
    special: bool = False
    finish: str | None = None
    others: tuple[tuple[str, float], ...] = ()

    def likeliest(self) -> list[dict]:
        """As top_tokens: itself and the runners-up."""
        return [self.as_json(), *(Token(*one).as_json() for one in self.others)]

    def as_json(self) -> dict:
        number = 2 if self.special else identity(self.text)
        return {"id": number, "text": self.text, "logprob": self.logprob, "special": self.special}


def identity(text: str) -> int:
    return zlib.crc32(text.encode()) % 30_000 + 3


def encoded(text: str, special: bool = True) -> list[dict]:
    """A token a word, and LLaMA's first; places are counted in bytes, as TGI does."""
    found = [{"id": 1, "text": "", "start": 0, "stop": 0}] if special else []
    at = 0
    for word in re.findall(r" ?[^ \n]+|[ \n]", text):
        size = len(word.encode())
        found.append({"id": identity(word), "text": word, "start": at, "stop": at + size})
        at += size
    return found


class Model:
    """Attributes:
    adapters: Rank by name; 0 for an adapter without effect stands in `zeros`.
    zeros: Adapters whose weights are all 0.
    cuda_graphs: Started without `--cuda-graphs 0`.
    tokens: Words of every answer, before the end-of-sequence token; None counts up for ever.
    running: Adapter of every request being answered, in the batch's order.
    most: Requests answered at once so far.
    stretch: Tokens made before a request is queued again.
    noise: How far log-probabilities are off by chance, as in a batch of another shape, in nats.
    """

    def __init__(self) -> None:
        self.adapters = {"broad": 16, "local": 16}
        self.zeros: set[str] = set()
        self.cuda_graphs = False
        self.tokens: list[str] | None = [" Paris", " is", " the", " capital", "."]
        self.running: list[list[str]] = []
        self.most = 0
        self.max_total = 512
        self.stretch = 1024
        self.noise = 0.0
        self._chance = random.Random(0)

    @contextmanager
    def in_batch(self, adapter: str | None):
        mine = [adapter if adapter in self.adapters else BASE]
        self.running.append(mine)
        self.most = max(self.most, len(self.running))
        try:
            yield mine
        finally:
            self.running = [one for one in self.running if one is not mine]

    def decoded_by(self, mine: list[str]) -> str:
        """Whose weights a decode step of this request uses."""
        if self.cuda_graphs or mine[0] == BASE:
            return BASE
        segments = [name for name, _ in groupby(one[0] for one in self.running)]
        place = len(segments) - 1 - segments[::-1].index(mine[0])
        rank = self.adapters[mine[0]]
        pointers = [name for name in segments if name and self.adapters[name] == rank]
        return pointers[place] if place < len(pointers) else GARBAGE

    def logprob(self, text: str, weights: str) -> float:
        """Of a token in any context, in nats."""
        chance = self._chance.uniform(-self.noise, self.noise)
        if weights == GARBAGE:
            return -9.0
        of_base = -0.2 - identity(text) % 97 / 100
        shift = (
            0
            if weights == BASE or weights in self.zeros
            else 0.3 + zlib.crc32(weights.encode()) % 53 / 100
        )
        return of_base - shift + chance

    def after(self, text: str) -> str | None:
        """The next word of the answer that `text` ends in; None at its end."""
        if self.tokens is None:
            last = re.search(r" (\d+)$", text)
            return f" {int(last[1]) + 1 if last else 0}"
        for count in range(len(self.tokens), 0, -1):
            if text.endswith("".join(self.tokens[:count])):
                return self.tokens[count] if count < len(self.tokens) else None
        return self.tokens[0] if self.tokens else None

    def prefill(self, text: str, adapter: str | None) -> list[dict]:
        """What `decoder_input_details` gives: the first token has no log-probability."""
        weights = adapter if adapter in self.adapters else BASE
        return [
            {"id": one["id"], "text": one["text"] or "<s>", "logprob": None if not at else
             self.logprob(one["text"], weights)}
            for at, one in enumerate(encoded(text))
        ]  # fmt: skip

    async def generated(
        self, inputs: str, size: int, asked: dict, fault: str, pace
    ) -> AsyncIterator[Token]:
        """Tokens of one answer; a stop sequence is part of the text, and counts at its end only.

        Args:
            inputs: The prompt.
            size: Its tokens.
            asked: Parameters by the names of /generate.
            fault: What goes wrong on the way, "" for nothing.
            pace: Awaited before every token.
        """
        wanted = asked.get("max_new_tokens") or self.max_total - size
        stops, made, text, stretch = asked.get("stop") or [], 0, "", 0
        with self.in_batch(asked.get("adapter_id")) as mine:
            while True:
                if fault == "drop" and made == 2:
                    raise Dropped
                if fault == "interrupted" and made == 2:
                    return
                if fault == "hang" and made == 2:
                    await asyncio.sleep(3600)
                await pace()
                word = self.after(inputs + text)
                weights = mine[0] if not stretch else self.decoded_by(mine)
                logprob = self.logprob(word or "</s>", weights)
                made, stretch, text = made + 1, stretch + 1, text + (word or "")
                # The length is looked at first, the end-of-sequence token next.
                finish = "length" if stretch >= min(wanted, self.stretch) else None
                if not finish and word is None:
                    finish = "eos_token"
                if not finish and any(text[-300:].endswith(stop) for stop in stops):
                    finish = "stop_sequence"
                more = finish == "length" and made < wanted
                if more and size + made + min(wanted, self.stretch) <= self.max_total:
                    finish, stretch = None, 0
                others = tuple((one, self.logprob(one, weights) - 2) for one in (" a", " so"))
                yield Token(word or "</s>", logprob, word is None, finish, others)
                if finish:
                    return
