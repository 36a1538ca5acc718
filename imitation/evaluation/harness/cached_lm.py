"""The model as lm-eval sees it: asks what is not known yet, then answers from memory.

Only imported where lm-eval is (job processes).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from imitation.evaluation.harness.model_runners import ModelRunner
from imitation.evaluation.harness.response_cache import ResponseCache, key_of

Place = tuple[str, int]
"""A task's name and the number of one of its documents."""


class CachedLM(LM):  # type: ignore[misc]
    """An LM whose every answer is kept.

    Args:
        asker: Who answers what is not known.
        answers: What is known.
        heard: Called with task, document, and its requests with answers, once all of a
            document's requests have one.
    """

    def __init__(
        self,
        asker: ModelRunner,
        answers: ResponseCache,
        heard: Callable[[str, int, Mapping[int, Any]], None] = lambda *_: None,
    ) -> None:
        super().__init__()
        self._asker, self._answers, self._heard = asker, answers, heard
        self.failed: dict[Place, str] = {}

    def fill(self, kind: str, requests: Sequence[Instance]) -> None:
        """Have an answer to every request that can be answered; the others are in `failed`.

        Raises:
            UserError: None of this type can be answered by this model.
        """
        keys = self._keys(kind, requests)
        left: dict[Place, int] = defaultdict(int)
        got: dict[Place, dict[int, Any]] = defaultdict(dict)
        for request in requests:
            left[_place(request)] += 1

        def take(request: Instance, number: int, answer: Any) -> None:
            place = _place(request)
            got[place][request.idx] = answer
            left[place] -= 1
            if not left[place]:
                self._heard(*place, got.pop(place))

        waiting: dict[int, list[tuple[int, str]]] = defaultdict(list)
        unknown: list[Instance] = []
        for number, (request, key) in enumerate(zip(requests, keys, strict=True)):
            if key in self._answers:
                take(request, number, self._answers[key])
            else:
                waiting[id(request)].append((number, key))
                unknown.append(request)

        def record(request: Instance, answer: Any) -> None:
            number, key = waiting[id(request)].pop(0)
            task, doc = _place(request)
            self._answers.add(key, answer, task=task, doc=doc, part=request.idx)
            take(request, number, answer)

        def fail(request: Instance, reason: str) -> None:
            self.failed.setdefault(_place(request), reason)

        if unknown:
            self._asker.ask(kind, unknown, record, fail)

    def _keys(self, kind: str, requests: Sequence[Instance]) -> list[str]:
        seen: dict[str, int] = defaultdict(int)
        keys = []
        for request in requests:
            key = key_of(kind, request.args, 0)
            keys.append(f"{key.removesuffix(':0')}:{seen[key]}")
            seen[key] += 1
        return keys

    def _known(self, kind: str, requests: Sequence[Instance]) -> list[Any]:
        return [self._answers[key] for key in self._keys(kind, requests)]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Known answers."""
        return self._known("generate_until", requests)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Known log-likelihoods."""
        return [(float(a), bool(b)) for a, b in self._known("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Known log-likelihoods of whole texts."""
        return [float(value) for value in self._known("loglikelihood_rolling", requests)]

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """What lm-eval takes as the prompt."""
        return self._asker.write_chat(chat_history, add_generation_prompt)

    @property
    def tokenizer_name(self) -> str:
        """Part of lm-eval's cache keys; nothing is cached there."""
        return self._asker.template


def _place(request: Instance) -> Place:
    return str(request.task_name), int(request.doc_id or 0)
