"""What a TGI server is to be started again with, so that it holds one adapter more and is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from imitation.models.backends.tgi.adapter_rules import config_in, warnings
from imitation.models.backends.tgi.server import root
from imitation.values import ModelSpec
from training.run_folder import ADAPTER_CONFIG, CONFIG

ZERO = "zero"
UNKNOWN = "PATH"


def restart_words(
    cards: Iterable[ModelSpec],
    holder: ModelSpec,
    name: str,
    folder: Path,
    place: str,
    known: Callable[[str], str],
) -> str:
    """What its owner has to know and do.

    Args:
        cards: The catalog.
        holder: The base of the server.
        name: Of the new adapter.
        folder: Where it lies here.
        place: Where the server finds it.
        known: Where the adapter of a model was taken from the last time, by its id; "" if unknown.
    """
    held = {
        card.adapter: known(card.id) or UNKNOWN
        for card in cards
        if card.backend == "tgi" and card.adapter and root(card) == root(holder)
    }
    if not holder.adapter:
        held = {ZERO: f"{place}-zero", **held}
    whole = ",".join(f"{one}={path}" for one, path in {**held, name: place}.items())
    said = [
        f"The card of {name} is written. TGI takes adapters only at its start, and all of them "
        f"together: restart it with LORA_ADAPTERS={whole}, and with --cuda-graphs 0 on its command "
        "line.",
    ]
    if f"={UNKNOWN}" in whole:
        said.append(f"{UNKNOWN} stands where only you know the folder.")
    if not holder.adapter:
        said.append(
            f"{ZERO} is the base as an adapter without effect, without which TGI reads wrong "
            f"weights: python -m training.zero_adapter --like {folder} --out {folder}-zero makes "
            f'it; then write adapter = "{ZERO}" into the card of {holder.name}.'
        )
    said.append("All adapters have to have one rank and the same modules.")
    return " ".join([*said, *_warnings(folder)])


def _warnings(folder: Path) -> list[str]:
    try:
        rank = int(json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))["r"])
        base = str(json.loads((folder / CONFIG).read_text("utf-8"))["base"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return warnings(rank, config_in(base))
