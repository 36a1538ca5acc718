"""What an OpenAI-compatible server says it serves (GET /models), and whether a card is among it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imitation.errors import BackendError
from imitation.models.http import errors as http_errors
from imitation.models.http.connection import origin
from imitation.validation import nearest
from imitation.values import ModelSpec


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model or adapter that a server lists.

    Attributes:
        name: What requests call it.
        owner: As the server says; "" where it does not.
        root: Where its weights came from, where the server says so (vLLM); else "".
        parent: Of an adapter, the model it is on, where the server says so; else "".
    """

    name: str
    owner: str = ""
    root: str = ""
    parent: str = ""

    @property
    def is_one_of_many(self) -> bool:
        """Whether its server answers for names beside those it lists.

        llama.cpp does for any name; `transformers serve` and hubs load models when asked for
        them, and list only those of their cache or their own, each with the owner in its name.
        """
        return self.owner == "llamacpp" or bool(
            self.owner and self.name.startswith(f"{self.owner}/")
        )


def read_listing(card: ModelSpec, listed: Any) -> list[ServedModel]:
    """What a server lists, from the JSON of its reply.

    Raises:
        BackendError: That is no list of models.
    """
    try:
        return [
            ServedModel(
                str(row["id"]), *(str(row.get(k) or "") for k in ("owned_by", "root", "parent"))
            )
            for row in listed["data"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise http_errors.protocol_error(card, listed) from error


def missing_model_error(card: ModelSpec, served: Sequence[ServedModel]) -> BackendError | None:
    """Why a card cannot be asked, its server listing these; None where it can or may be."""
    names = [one.name for one in served]
    wanted = card.adapter or card.model
    if not names or not wanted or wanted in names:
        return None
    if card.adapter:
        return BackendError(
            f"{origin(card.endpoint)} has no adapter {wanted!r}.",
            "What a server loaded while it ran is gone once it restarts: load it again (Fine-tune, "
            f"under its run), or start the server with it. {nearest(wanted, names[:20])}",
            status=404,
        )
    # As Ollama ("llama3" for "llama3:latest") and routers ("model:provider") read names.
    variants = {wanted.partition(":")[0], f"{wanted}:latest"}
    if variants & set(names) or any(one.is_one_of_many for one in served):
        return None
    return BackendError(
        f"{origin(card.endpoint)} has no model {wanted!r}.",
        nearest(wanted, names)[:300],
        status=404,
    )
