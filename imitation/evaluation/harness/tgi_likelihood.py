"""Log-likelihood through Text Generation Inference.

`decoder_input_details` gives a prompt's own log-probabilities, where the server was started with
`--enable-prefill-logprobs`, and never in a stream. Adapters are right there: TGI's faults with them
(`imitation.models.backends.tgi.server`) concern the tokens after.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from imitation.errors import BackendError
from imitation.evaluation.harness.likelihood import ELSEWHERE, AsyncMemo, split
from imitation.models.backends.tgi.server import Servers, root, token_ids
from imitation.models.http import errors as http_errors
from imitation.models.http.connection import api_key, check_allowed, origin
from imitation.models.http.sessions import Sessions
from imitation.settings import Settings
from imitation.values import ModelSpec


class TGILikelihood:
    """Of a TGI server, see `imitation.evaluation.harness.likelihood.Likelihood`.

    Args:
        card: A tgi card whose prompts are rendered here.
        settings: Whether other machines may be reached.
        sessions: HTTP.
    """

    def __init__(self, card: ModelSpec, settings: Settings, sessions: Sessions) -> None:
        check_allowed(settings, card)
        self._card, self._key = card, api_key(card)
        self._ask = functools.partial(
            sessions.ask, card, key=self._key, within_s=settings.timeout_s
        )
        self._servers = Servers(sessions, settings.timeout_s)
        self._checked = AsyncMemo(self._check)
        self._tokens = AsyncMemo(functools.partial(token_ids, self._ask, card))
        self._greedy = AsyncMemo(self._written)  # the choices of a question have one context

    async def __call__(self, context: str, continuation: str) -> tuple[float, bool]:
        """See `Likelihood`.

        Raises:
            BackendError: The server failed, computes another model, tells no probabilities of a
                prompt, or those of another; or see `split`.
        """
        await self._checked()
        ids, start = await split(self._card, self._tokens, context, continuation)
        reply = await self._generate(context + continuation, 1, decoder_input_details=True)
        try:
            rows = [(int(row["id"]), row["logprob"]) for row in reply["details"]["prefill"]]
        except (KeyError, TypeError, ValueError) as error:
            raise http_errors.protocol_error(self._card, reply) from error
        at = origin(self._card.endpoint)
        if not rows:
            raise BackendError(
                f"{at} gives no log-probabilities of a prompt.",
                f"Start TGI with --enable-prefill-logprobs. {ELSEWHERE}",
            )
        if [token for token, _ in rows] != ids:
            raise BackendError(
                f"{at} computed other tokens of a prompt ({len(rows)}) than /tokenize names "
                f"({len(ids)}): its log-probabilities cannot be used.",
                ELSEWHERE,
            )
        values = [value for _, value in rows[start:]]
        if not all(isinstance(one, int | float) and not math.isnan(one) for one in values):
            raise BackendError(f"{at} left out log-probabilities of a prompt.", ELSEWHERE)
        return sum(map(float, values)), await self._is_greedy(context.rstrip(), ids[start:])

    async def _check(self) -> None:
        async def itself(text: str) -> str:
            return text

        await self._servers.check(self._card, self._key, itself)

    async def _is_greedy(self, before: str, ids: list[int]) -> bool:
        """Whether greedy decoding gives these tokens; the first one alone mostly settles it."""
        if not before:  # TGI refuses an empty prompt: nothing can be decoded after it
            return False
        for count in (1, len(ids)):
            if await self._greedy(before, count) != ids[:count]:
                return False
        return True

    async def _written(self, before: str, count: int) -> list[int]:
        reply = await self._generate(before, count, details=True)
        try:
            return [int(token["id"]) for token in reply["details"]["tokens"]]
        except (KeyError, TypeError, ValueError) as error:
            raise http_errors.protocol_error(self._card, reply) from error

    async def _generate(self, text: str, count: int, **wanted: bool) -> Any:
        parameters: dict[str, Any] = {"max_new_tokens": count, "do_sample": False, **wanted}
        if self._card.adapter:
            parameters["adapter_id"] = self._card.adapter
        body = {"inputs": text, "parameters": parameters}
        return await self._ask(root(self._card) + "/generate", body)
