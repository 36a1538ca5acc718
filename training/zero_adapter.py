"""An adapter without effect, shaped like another: the base, as TGI has to be asked for it.

    python -m training.zero_adapter --like runs/broad/checkpoint --out adapters/zero

TGI 3.3.7 reads wrong weights where one batch holds the base itself beside adapters, or adapters of
different ranks or modules. With this one in LORA_ADAPTERS, and its name as `adapter` in the base's
card, every request is an adapter of the same shape.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from imitation.disk import atomic_folder, write_text
from imitation.errors import IntegrityError, UserError
from imitation.jobs.parameters import JobParameters, run
from training.run_folder import ADAPTER_CONFIG, CHECKPOINT

WEIGHTS = "adapter_model.safetensors"
_PARTS = (".lora_A.weight", ".lora_B.weight")


class ZeroAdapter(JobParameters):
    """Parameters of `training.zero_adapter`."""

    like: Annotated[Path, Field(description="the adapter to be shaped like")]
    out: Annotated[Path, Field(description="folder to be made")]


def write_zero_adapter(like: Path, out: Path) -> int:
    """Write an adapter with the configuration and shapes of another, all of it 0.

    Args:
        like: A PEFT folder, or that of a finished run.
        out: A folder that is not there yet.

    Returns:
        Its rank.

    Raises:
        UserError: There is something in `out` already.
        IntegrityError: `like` holds no LoRA adapter, or one with more than its two factors.
        StorageError: It could not be written.
    """
    if (like / CHECKPOINT / ADAPTER_CONFIG).is_file():
        like = like / CHECKPOINT
    if out.exists():
        raise UserError(f"{out} is there already.", "Choose another --out.")
    try:
        config = json.loads((like / ADAPTER_CONFIG).read_text("utf-8"))
        rank = int(config["r"])
        with safe_open(str(like / WEIGHTS), framework="np") as opened:
            shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise IntegrityError(
            f"{like} holds no LoRA adapter ({type(error).__name__}: {error}).",
            f"Name a folder with {ADAPTER_CONFIG} and {WEIGHTS}, or that of a finished run.",
        ) from error
    other = sorted(name for name in shapes if not name.endswith(_PARTS))
    if other:
        raise IntegrityError(
            f"{like} has more than the two factors of a LoRA, such as {other[0]}: TGI leaves that "
            "out.",
            "Train a plain LoRA.",
        )
    with atomic_folder(out) as aside:
        write_text(aside / ADAPTER_CONFIG, json.dumps(config, indent=2) + "\n")
        # Whatever the format of the other's, TGI computes in its own.
        zeros = {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}
        try:
            save_file(zeros, str(aside / WEIGHTS))
        except SafetensorError as error:
            raise OSError(str(error)) from error
        shutil.copymode(aside / ADAPTER_CONFIG, aside / WEIGHTS)  # the server is another user
    return rank


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    prog = "python -m training.zero_adapter"
    return run(ZeroAdapter, _work, argv, prog=prog, about=__doc__ or "")


def _work(options: ZeroAdapter) -> int:
    like, out = options.like, options.out
    try:
        rank = write_zero_adapter(like, out)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{out}: an adapter of rank {rank} without effect, shaped like {like}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
