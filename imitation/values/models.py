"""What models are, and how answers are drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["base", "imitation", "reference"]
ROLES: tuple[Role, ...] = ("base", "imitation", "reference")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model that can be a column.

    Attributes:
        id: Unique name in the catalog; letters, digits, `.`, `_`, `-`.
        name: What people read.
        role: base, imitation or reference.
        backend: embedded, openai (any OpenAI-compatible server), tgi or recorded.
        endpoint: Base URL (openai: including `/v1`; tgi: the server's root); unused by embedded.
        model: Model name the server knows; empty: the server's only or default model.
        adapter: LoRA adapter the server picks per request (tgi, vLLM), or for embedded the
            adapter GGUF (a path, relative to the catalog file).
        base: Card id of the base an imitation was made from.
        weights: embedded only: "whole", "cut-2", "cut-4", "cut-6", or the path of a GGUF.
        file: recorded only: the file of recorded outputs.
        prompt_format: "chat" (the server's chat template), "koala" or "plain" (rendered here).
        end_of_turn: What ended answers in training, for koala and plain: the text of the model's
            end-of-sequence token, which earlier turns are rendered with; empty: the format's own.
        api_key_env: Name of the environment variable that holds the key; never the key itself.
        context: Context length in tokens.
        params_b: Parameters in billions, None where unknown.
        tokens_m: Tokens of the data an imitation was trained on, in millions, None where unknown.
        price_in: US dollars for a million prompt tokens, None where unknown.
        price_out: US dollars for a million tokens of answers, None where unknown.
        stand_in: True for a small model that stands in for the real thing; shown on every column.
        licence: Licence of weights or outputs.
        notes: One line shown with the model.
    """

    id: str
    name: str
    role: Role
    backend: str
    endpoint: str = ""
    model: str = ""
    adapter: str = ""
    base: str = ""
    weights: str = ""
    file: str = ""
    prompt_format: str = "chat"
    end_of_turn: str = ""
    api_key_env: str = ""
    context: int = 2048
    params_b: float | None = None
    tokens_m: float | None = None
    stand_in: bool = False
    price_in: float | None = None
    price_out: float | None = None
    licence: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn.

    Attributes:
        temperature: 0 is greedy.
        top_p: Nucleus mass, 0 < top_p <= 1.
        max_tokens: Upper bound on new tokens.
        seed: Same seed, same answer, where the server honours it; None draws afresh.
        stop: Strings that end the answer, besides those of the prompt format.
    """

    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 256
    seed: int | None = None
    stop: tuple[str, ...] = ()
