"""The base for training: a pocket model, a local folder, or a model of the hub.

A pocket base is the served GGUF dequantised, so both are the same model.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imitation import prompts
from imitation.errors import IntegrityError, UserError
from imitation.models.catalog import ModelSpec, load_catalog
from imitation.models.embedded.dequantised import dequantised
from imitation.models.embedded.weights import weights_path
from imitation.prompts import ChatTemplate, Koala, PromptFormat, prompt_format
from imitation.settings import Settings
from imitation.validation import nearest
from imitation.values import Message
from training.architectures import check_architecture

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

_SAMPLES, _SAMPLE = 64, 4096


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base.

    Attributes:
        model: transformers' causal LM; None where only its text side was asked for.
        tokenizer: Its tokenizer.
        fmt: The prompt format conversations are written in.
        gguf: The file it came from, which the engine serves; None for a base that is not a GGUF.
        identity: What tells it from others: a hash of its weights, or of samples of them.
    """

    model: Any
    tokenizer: Any
    fmt: PromptFormat
    gguf: Path | None
    identity: str

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Token ids of a text; special tokens written in it are recognised.

        Args:
            text: Any.
            special: Put the special tokens around it that the tokenizer puts, such as BOS.
        """
        ids: list[int] = self.tokenizer(text, add_special_tokens=special)["input_ids"]
        return ids

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of the prompt that asks for an answer to `messages`, as servers make them.

        Raises:
            UserError: The format cannot render the messages.
        """
        text = self.fmt.render(messages, add_generation_prompt=True).text
        return self.tokenize(text, self.fmt.special_tokens)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a base's files are.

    Attributes:
        place: A folder, or a hub id.
        card: Its card, for an embedded one.
        gguf: The file an embedded one is served from.
        identity: As in `Base`; "" until the files of a hub model are here.
    """

    place: str
    card: ModelSpec | None = None
    gguf: Path | None = None
    identity: str = ""

    @property
    def is_local(self) -> bool:
        """Whether its files are on this machine already."""
        return Path(self.place).is_dir()


def find_base(settings: Settings, name: str) -> Source:
    """The files of a base by its catalog id, folder or hub id; a GGUF is dequantised once.

    Raises:
        UserError: There is no such base, or its weights can't be had.
    """
    catalog = load_catalog(settings.catalogs)
    if name in catalog:
        card = catalog[name]
        if card.backend != "embedded":
            raise UserError(
                f"{card.id} is served by {card.backend}: its weights are not here to train.",
                "Name an embedded base such as pocket-base, a folder of weights, or a hub id.",
            )
        gguf = weights_path(settings, card.weights)
        folder, digest = dequantised(settings, gguf)
        return Source(str(folder), card, gguf, digest)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            adapter = (folder / "adapter_config.json").is_file()
            what = "holds an adapter, not a base" if adapter else "has no config.json"
            raise UserError(
                f"{folder} {what}.", "Name a folder that transformers can load a model from."
            )
        return Source(str(folder.resolve()), identity=_identity(folder))
    if not HUB_ID.fullmatch(name) or name.startswith((".", "/")):
        raise UserError(
            f"There is no base {name!r}: no model of the catalog, no folder, no hub id.",
            nearest(name, [c.id for c in catalog.values() if c.backend == "embedded"]),
        )
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    return Source(name)


def load_base(settings: Settings, name: str, dtype: str, fmt: str = "auto", **options: Any) -> Base:
    """A base as a torch model.

    Args:
        settings: Where the cache is.
        name: Catalog id, folder or hub id.
        dtype: "float32" or "bfloat16".
        fmt: Prompt format, or "auto" as in TrainingConfig.
        options: Passed on to from_pretrained.

    Raises:
        UserError: There is no such base, or it can't be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM

    source = find_base(settings, name)
    text = _text(source, name, fmt)
    with _loading(source, name):
        model = AutoModelForCausalLM.from_pretrained(
            source.place, dtype=getattr(torch, dtype), local_files_only=source.is_local, **options
        )
    identity = source.identity or f"hub:{name}@{getattr(model.config, '_commit_hash', None)}"
    return replace(text, model=model, identity=identity)


def load_text(settings: Settings, name: str, fmt: str = "auto") -> Base:
    """A base without its weights (model None): what conversations are encoded with.

    Raises:
        UserError: As `load_base`.
    """
    return _text(find_base(settings, name), name, fmt)


def load_shape(settings: Settings, name: str) -> Any:
    """Transformers' config of a base that is to be trained.

    Raises:
        UserError: As `load_base`, or its architecture is none that is trained.
    """
    from transformers import AutoConfig

    source = find_base(settings, name)
    with _loading(source, name):
        found = AutoConfig.from_pretrained(source.place, local_files_only=source.is_local)
    check_architecture(found.model_type)
    return found


def _text(source: Source, name: str, fmt: str) -> Base:
    from transformers import AutoTokenizer

    with _loading(source, name):
        tokenizer = AutoTokenizer.from_pretrained(source.place, local_files_only=source.is_local)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return Base(None, tokenizer, _format(source, tokenizer, fmt), source.gguf, source.identity)


@contextmanager
def _loading(source: Source, name: str) -> Iterator[None]:
    """What transformers raises where files are missing or broken, in words."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        hint = "Check its spelling, your connection, and whether it asks for a token (HF_TOKEN); "
        raise UserError(
            f"The base {name} could not be loaded: {first}",
            "Check the folder." if source.is_local else hint + "or name a local folder.",
        ) from error


def _identity(folder: Path) -> str:
    """Of a folder: its configuration, and samples from all over its weights; all take minutes."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as opened:
            for n in range(_SAMPLES):
                opened.seek(n * size // _SAMPLES)
                digest.update(opened.read(_SAMPLE))
    return digest.hexdigest()


def _format(source: Source, tokenizer: Any, wanted: str) -> PromptFormat:
    if wanted == "auto":
        if source.card:
            wanted = source.card.prompt_format
        else:
            with suppress(IntegrityError):
                return prompts.load(Path(source.place))
            wanted = ChatTemplate.name if tokenizer.chat_template else Koala.name
    if wanted == ChatTemplate.name:
        if not tokenizer.chat_template:
            raise UserError(
                f"{source.place} has no chat template.", 'Set prompt_format = "koala" or "plain".'
            )
        return prompt_format(
            wanted,
            template=tokenizer.chat_template,
            end_of_turn=tokenizer.eos_token,
            bos_token=tokenizer.bos_token or "",
            eos_token=tokenizer.eos_token,
        )
    own = {"end_of_turn": tokenizer.eos_token} if tokenizer.eos_token else {}
    return prompt_format(wanted, **own)


def choose_dtype(wanted: str) -> tuple[str, dict[str, float]]:
    """The number format to train in, and the seconds each took where it was measured.

    bfloat16 halves the time on CPUs with instructions for it and is many times slower than
    float32 on those without, so "auto" multiplies two matrices of a layer's size in each.
    """
    if wanted != "auto":
        return wanted, {}
    import torch

    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32", {}
    seconds = {}
    for name in ("float32", "bfloat16"):
        a = torch.ones(256, 576, dtype=getattr(torch, name))
        b = torch.ones(576, 1536, dtype=getattr(torch, name))
        a @ b
        began = time.perf_counter()
        for _ in range(5):
            a @ b
        seconds[name] = time.perf_counter() - began
    return min(seconds, key=lambda name: seconds[name]), seconds
