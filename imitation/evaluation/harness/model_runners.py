"""Who answers lm-eval's requests: a catalog model, or local transformers.

An asker gets requests of one type and reports each answer as it comes, in any order; what cannot
be answered is reported with its reason and never made up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from imitation.errors import BackendError, UserError
from imitation.evaluation.harness.likelihood import (
    EchoLikelihood,
    Likelihood,
    LlamaLikelihood,
    likelihood_refusal,
)
from imitation.evaluation.harness.tgi_likelihood import TGILikelihood
from imitation.models.backends.registry import Backends, complete
from imitation.models.http.sessions import Sessions
from imitation.models.request import format_of
from imitation.values import Message, ModelSpec, Sampling

GIVE_UP_AFTER = 8
"""Failures in a row after which a model is taken to be gone; the rest is left for a resumed run."""
MAX_TOKENS = 256
"""Of a task that sets no limit; lm-eval's own default."""

Record = Callable[[Any, Any], None]
"""Called with a request and its answer."""
Fail = Callable[[Any, str], None]
"""Called with a request and why it has no answer."""


class ModelRunner(Protocol):
    """Answers requests of lm-eval."""

    template: str
    """How prompts reach the model: "chat", "koala" or "plain"."""

    def ask(self, kind: str, requests: Sequence[Any], record: Record, fail: Fail) -> None:
        """Answer requests of one type.

        Raises:
            UserError: None of this type can be answered, and why.
        """

    def write_chat(self, turns: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """What lm-eval has as the prompt where the model takes turns."""

    def close(self) -> None:
        """Let the model go."""


class CatalogRunner:
    """A model of the catalog, several requests at once.

    Args:
        backends: The clients; closed with this.
        card: The model. Its prompt format decides what it is sent: turns for "chat" and "koala";
            for "plain" the text as lm-eval writes it.
        concurrency: Requests at once.
        seed: For tasks that draw their answers.
    """

    def __init__(
        self, backends: Backends, card: ModelSpec, concurrency: int = 4, seed: int = 0
    ) -> None:
        self.template = card.prompt_format
        self._backends, self._concurrency, self._seed = backends, concurrency, seed
        self._card = card if card.prompt_format != "plain" else replace(card, prompt_format="raw")
        self._runner = asyncio.Runner()

    def write_chat(self, turns: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The turns as JSON, read again when they are sent."""
        if not add_generation_prompt:
            raise UserError(
                f"{self._card.name} takes whole turns, and this task begins the answer itself.",
                "Run it on a model with prompt_format plain, or on local transformers.",
            )
        return json.dumps(turns, ensure_ascii=False)

    def ask(self, kind: str, requests: Sequence[Any], record: Record, fail: Fail) -> None:
        """See `ModelRunner`."""
        if self._card.backend == "recorded":
            raise UserError(f"{self._card.name} is recorded: it cannot be asked new questions.")
        if kind == "loglikelihood":
            if reason := likelihood_refusal(self._card):
                raise UserError(
                    f"{self._card.name} cannot be measured by log-likelihood: {reason}.",
                    "Use the embedded engine, vLLM or TGI with prompt_format plain or koala, or "
                    "local transformers; or choose a task in which answers are written.",
                )
        elif kind != "generate_until":
            raise UserError(
                f"{self._card.name} cannot answer requests of type {kind}.",
                "Run such tasks on local transformers.",
            )
        self._runner.run(self._ask(kind, requests, record, fail))

    async def _ask(self, kind: str, requests: Sequence[Any], record: Record, fail: Fail) -> None:
        gate, down, said = asyncio.Semaphore(self._concurrency), 0, ""
        async with AsyncExitStack() as stack:
            likelihood = await self._likelihood(stack) if kind == "loglikelihood" else None

            async def one(request: Any) -> None:
                nonlocal down, said
                async with gate:
                    if down >= GIVE_UP_AFTER:
                        fail(request, f"not asked, since it failed {down} times in a row: {said}")
                        return
                    try:
                        if likelihood is not None:
                            context, continuation = request.args
                            answer: Any = await likelihood(self._text(context), continuation)
                        else:
                            answer = await self._generate(*request.args)
                    except BackendError as error:
                        down, said = down + 1, str(error)
                        fail(request, said)
                    else:
                        down = 0
                        record(request, answer)

            try:
                async with asyncio.TaskGroup() as group:
                    for request in requests:
                        group.create_task(one(request))
            except ExceptionGroup as errors:
                # What the scoring of an answer raised: one says as much as all of them.
                raise errors.exceptions[0] from errors

    async def _generate(self, prompt: str, options: dict[str, Any]) -> str:
        drawn = bool(options.get("do_sample")) and float(options.get("temperature") or 1.0) > 0
        until = options.get("until") or ()
        sampling = Sampling(
            temperature=float(options.get("temperature") or 1.0) if drawn else 0.0,
            top_p=float(options.get("top_p", 1.0)),
            max_tokens=int(options.get("max_gen_toks", MAX_TOKENS)),
            seed=self._seed,
            stop=(until,) if isinstance(until, str) else tuple(until),
        )
        answer = await complete(self._backends, self._card, self._turns(prompt), sampling)
        if answer.sent.dropped:
            raise BackendError(
                f"The prompt with its examples does not fit {self._card.name}'s context of "
                f"{self._card.context} tokens.",
                "Ask with fewer examples.",
            )
        return answer.text

    def _turns(self, prompt: str) -> list[Message]:
        if self.template == "plain":
            return [Message("user", prompt)]
        return [Message(turn["role"], turn["content"]) for turn in json.loads(prompt)]

    def _text(self, prompt: str) -> str:
        """The text of a prompt; of a chat the JSON, which only the server can render."""
        if self.template in ("plain", "chat"):
            return prompt
        turns = self._turns(prompt)
        return format_of(self._card).render(turns, add_generation_prompt=True).text

    async def _likelihood(self, stack: AsyncExitStack) -> Likelihood:
        settings = self._backends.settings
        sessions = Sessions(settings.timeout_s)
        stack.push_async_callback(sessions.close)
        if self._card.backend == "openai":
            return EchoLikelihood(self._card, settings, sessions)
        if self._card.backend == "tgi":
            return TGILikelihood(self._card, settings, sessions)
        # Not at the top: the page knows this command by its parameters, and the engine's client
        # library takes most of a second to import.
        from imitation.models.embedded.engine import EmbeddedBackend

        # One engine with all cores: copies gain nothing here, and where a prompt was read before
        # moves its probabilities a little.
        backend = EmbeddedBackend(replace(settings, copies=1))
        stack.push_async_callback(backend.close)
        root = await stack.enter_async_context(backend.server(self._card))
        plain = LlamaLikelihood(self._card, root, sessions, settings.timeout_s)
        if self.template != "chat":
            return plain
        rendered: dict[str, str] = {}

        async def chat(prompt: str, continuation: str) -> tuple[float, bool]:
            if prompt not in rendered:
                body = {"messages": json.loads(prompt)}
                reply = await sessions.ask(
                    self._card, f"{root}/apply-template", body, within_s=settings.timeout_s
                )
                rendered[prompt] = str(reply["prompt"])
            return await plain(rendered[prompt], continuation)

        return chat

    def close(self) -> None:
        """Close the clients and what they started."""
        self._runner.run(self._backends.close())
        self._runner.close()


class TransformersRunner:
    """Local weights through lm-eval's own HFLM, in the batches it would make by itself.

    Args:
        folder: A transformers model.
        peft: A PEFT adapter on it, None for none.
        batch_size: Requests computed together.
        device: As torch names it.
        chat: Apply the tokenizer's chat template.
        dtype: Number format, as transformers names it.
    """

    def __init__(
        self,
        folder: Path,
        peft: Path | None = None,
        *,
        batch_size: int = 8,
        device: str = "cpu",
        chat: bool = True,
        dtype: str = "float32",
    ) -> None:
        from lm_eval.models.huggingface import HFLM

        for path in filter(None, (folder, peft)):
            if not path.is_dir():
                raise UserError(f"{path} is not a folder.", "Name one that transformers can load.")
        self.template = "chat" if chat else "plain"
        self.lm = HFLM(
            pretrained=str(folder),
            peft=str(peft) if peft else None,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
        )

    def write_chat(self, turns: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The turns in the tokenizer's chat template."""
        return str(self.lm.apply_chat_template(turns, add_generation_prompt))

    def ask(self, kind: str, requests: Sequence[Any], record: Record, fail: Fail) -> None:
        """See `ModelRunner`; answers are recorded batch by batch."""
        waiting: dict[str, list[Any]] = {}
        for request in requests:
            waiting.setdefault(json.dumps(request.args, default=str), []).append(request)

        class Hook:
            """What lm-eval calls with each answer of a batch."""

            def add_partial(self, _: str, arguments: Any, answer: Any) -> None:
                if found := waiting.get(json.dumps(tuple(arguments), default=str)):
                    record(found.pop(0), answer)

        self.lm.set_cache_hook(Hook())
        found = getattr(self.lm, kind)(list(requests))
        # Whatever the hook was not told of.
        left = {id(request) for rows in waiting.values() for request in rows}
        for request, answer in zip(requests, found, strict=True):
            if id(request) in left:
                record(request, answer)

    def close(self) -> None:
        """Let the weights go."""
        del self.lm
