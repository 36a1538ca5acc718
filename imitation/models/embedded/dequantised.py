"""An embedded model's GGUF as a transformers folder, for jobs that compute with torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from imitation.disk import atomic_folder, file_lock
from imitation.settings import Settings


def dequantised(settings: Settings, gguf: Path) -> tuple[Path, str]:
    """The folder of a GGUF's weights in float32, made once and kept, and the GGUF's SHA-256.

    Imports torch and transformers where the folder is not there yet.
    """
    with gguf.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    folder = settings.cache / "training" / f"{gguf.stem}-{digest[:12]}"
    with file_lock(folder.parent / ".lock"):
        if not (folder / "config.json").is_file():
            _write(gguf, folder)
    return folder, digest


def _write(gguf: Path, folder: Path) -> None:
    """Write the weights; the folder appears whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    with atomic_folder(folder) as aside:
        AutoTokenizer.from_pretrained(**source).save_pretrained(aside)
        AutoModelForCausalLM.from_pretrained(
            **source, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        ).save_pretrained(aside)
