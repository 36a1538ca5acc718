"""Which models a command evaluates: of the catalog, adapters on them, local transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from imitation.errors import UserError
from imitation.evaluation.report.schema import EvaluatedModel
from imitation.models.catalog import load_catalog
from imitation.models.http.connection import origin
from imitation.settings import Settings
from imitation.values import ROLES, ModelSpec, Role

_LOCAL = re.compile(
    r"(?:(?P<role>\w+):)?(?P<name>[A-Za-z0-9][\w.-]*)=(?P<folder>[^+]+)(?:\+(?P<peft>.+))?"
)


@dataclass(frozen=True, slots=True)
class Local:
    """Weights for transformers: a folder, "" for those of the card, and a PEFT adapter's or ""."""

    folder: str = ""
    peft: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """One model to evaluate.

    Attributes:
        measured: What run.json says of it.
        card: Its card, None for a folder of transformers.
        local: Where it is computed with torch.
    """

    measured: EvaluatedModel
    card: ModelSpec | None = None
    local: Local | None = None


def subjects(
    settings: Settings,
    models: Sequence[str],
    local: Sequence[str] = (),
    engine: Literal["catalog", "transformers"] = "catalog",
    adapters: Sequence[str] = (),
) -> list[Subject]:
    """The models of a command line.

    Args:
        settings: Where the catalog is.
        models: Catalog ids.
        local: "ROLE:NAME=FOLDER[+PEFT]" each.
        engine: "transformers" computes embedded models with torch.
        adapters: "NAME=FILE" each: adapter GGUFs on the only base among `models`.

    Raises:
        UserError: Unknown ids, or a text that is not of its form.
    """
    catalog = load_catalog(settings.catalogs)
    chosen = [_of_card(catalog[name], engine) for name in dict.fromkeys(models)]
    bases = [s.card for s in chosen if s.card and s.card.role == "base"]
    for text in adapters:
        if len(bases) != 1:
            raise UserError("--adapter wants exactly one base among --models.")
        chosen.append(_of_card(_with_adapter(bases[0], text), engine))
    chosen = _with_bases([*chosen, *(_of_folder(text) for text in local)])
    if not chosen:
        raise UserError("There is no model to evaluate.", "Name some with --models or --local.")
    # Ids name the folders and columns of a run: two alike would write over each other.
    names = [subject.measured.id for subject in chosen]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"Models have the same name: {', '.join(twice)}.")
    return chosen


def measured(card: ModelSpec, engine: str = "") -> EvaluatedModel:
    """What a run says of a card; never a key."""
    source = origin(card.endpoint) if card.endpoint else card.weights or Path(card.file).name
    adapter = Path(card.adapter).name if card.backend == "embedded" else card.adapter
    return EvaluatedModel(
        id=card.id,
        name=card.name,
        role=card.role,
        base=card.base,
        template=card.prompt_format,
        engine=engine or card.backend,
        stand_in=card.stand_in,
        params_b=card.params_b,
        tokens_m=card.tokens_m,
        source=" + ".join(filter(None, (source, card.model, adapter))),
    )


def _of_card(card: ModelSpec, engine: str) -> Subject:
    if engine == "catalog" or card.backend != "embedded":
        return Subject(measured(card), card)
    if card.adapter:
        peft = Path(card.adapter).parent
        if not (peft / "adapter_config.json").is_file():
            raise UserError(
                f"{card.id} has its adapter as a GGUF only, which transformers cannot load.",
                "Use --engine catalog, or name the run's PEFT folder with --local.",
            )
        return Subject(measured(card, "transformers"), card, Local("", str(peft)))
    return Subject(measured(card, "transformers"), card, Local())


def _with_adapter(base: ModelSpec, text: str) -> ModelSpec:
    name, equals, file = text.partition("=")
    path = Path(file).expanduser()
    if not equals or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) or not path.is_file():
        raise UserError(f"--adapter {text!r} is no NAME=FILE of an adapter that exists.")
    adapter = str(path.resolve())
    return replace(base, id=name, name=name, role="imitation", base=base.id, adapter=adapter)


def _with_bases(chosen: Sequence[Subject]) -> list[Subject]:
    """Local imitations with their base: of the same weights, else the only base there is.

    Which of several it is stays unknown, and so does its gap.
    """
    bases = [subject for subject in chosen if subject.measured.role == "base"]

    def base_of(imitation: Subject) -> str:
        weights = imitation.local.folder if imitation.local else None
        same = [base for base in bases if base.local and base.local.folder == weights]
        candidates = same or bases
        return candidates[0].measured.id if len(candidates) == 1 else ""

    return [
        replace(subject, measured=replace(subject.measured, base=base_of(subject)))
        if subject.card is None and subject.measured.role == "imitation"
        else subject
        for subject in chosen
    ]


def _has_chat_template(folder: Path) -> bool:
    """In a file of its own, or, as older models have it, in the tokenizer's configuration."""
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    try:
        table = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(table, dict) and bool(table.get("chat_template"))


def _of_folder(text: str) -> Subject:
    match = _LOCAL.fullmatch(text)
    if match is None or (match["role"] or "base") not in ROLES:
        raise UserError(
            f"--local {text!r} is not of the form ROLE:NAME=FOLDER or ROLE:NAME=FOLDER+PEFT.",
            f"A role is {', '.join(ROLES)}.",
        )
    folder = Path(match["folder"]).expanduser()
    peft = Path(match["peft"]).expanduser() if match["peft"] else None
    for path in filter(None, (folder, peft)):
        if not path.is_dir():
            raise UserError(f"--local {match['name']}: {path} is not a folder.")
    role = cast(Role, match["role"] or ("imitation" if peft else "base"))
    chat = _has_chat_template(folder)
    return Subject(
        EvaluatedModel(
            id=match["name"],
            name=match["name"],
            role=role,
            template="chat" if chat else "plain",
            engine="transformers",
            source=folder.name + (f" + {peft.name}" if peft else ""),
        ),
        local=Local(str(folder), str(peft) if peft else ""),
    )
