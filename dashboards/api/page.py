"""Named endpoints of the app, for `gradio_client` and any HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from dashboards.api import actions as api
from dashboards.shell.context import Context
from imitation import published as data
from imitation.errors import UserError
from imitation.values import Sampling


def build(context: Context) -> None:
    """Add `/compare`, `/models` and `/published` to the app."""

    async def compare(
        prompt: str,
        models: list[str],
        system: str = "",
        temperature: float = 0.7,
        top_p: float = 0.95,
        max_tokens: int = 256,
        seed: int | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Ask one to four models at once; streams snapshots, the last one complete."""
        sampling = Sampling(temperature, top_p, max_tokens, seed)
        try:
            async for snapshot in api.compare(context, prompt, models, system, sampling):
                yield snapshot
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def models() -> list[dict[str, Any]]:
        """Every model of the catalog."""
        return api.models(context)

    def published() -> dict[str, Any]:
        """The paper's values (`records`, ...) and later studies' (`later`), with sources."""
        return {**data.raw_numbers(), "later": data.raw_later()}

    gr.api(compare, api_name="compare", concurrency_limit=None)
    gr.api(models, api_name="models")
    gr.api(published, api_name="published")
