"""GGUF files without torch: cut layers out of a model, write weights, write and check an adapter.

Formats: ggml `docs/gguf.md`; adapter keys as in llama.cpp `convert_lora_to_gguf.py`.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from imitation.disk import atomic_write
from imitation.errors import IntegrityError, UserError

Array = npt.NDArray[Any]

LORA_MODULES: Mapping[str, str] = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
"""transformers' name of a Llama projection -> its name in `blk.N.<name>.weight`."""

_TENSORS: Mapping[str, str] = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    **{ours: f"self_attn.{name}" for name, ours in LORA_MODULES.items() if "attn" in ours},
    **{ours: f"mlp.{name}" for name, ours in LORA_MODULES.items() if "ffn" in ours},
}
"""GGUF's name of a Llama tensor, block and ".weight" left out -> transformers' name."""

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
_LORA = re.compile(r"blk\.\d+\..+\.weight\.lora_[ab]")
_SET_BY_WRITER = ("GGUF.", "general.architecture")


def read(path: Path) -> gguf.GGUFReader:
    """The parsed file; tensors stay on disk until they are used.

    Raises:
        IntegrityError: Missing, unreadable, truncated or not a GGUF file.
    """
    try:
        return gguf.GGUFReader(path)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise IntegrityError(
            f"{path} is not a whole GGUF file ({type(error).__name__}: {error}).",
            "Delete it and prepare it again.",
        ) from error


def read_metadata(path: Path) -> dict[str, Any]:
    """Every key of the file's header with its value; arrays as lists.

    Raises:
        IntegrityError: As `read`.
    """
    fields = read(path).fields
    return {name: f.contents() for name, f in fields.items() if not name.startswith("GGUF.")}


def cut(source: Path, target: Path, drop_layers: Collection[int]) -> None:
    """Write `source` without some of its layers to `target`, tensors copied as they are.

    The remaining blocks are renumbered from 0 and `llama.block_count` is set.

    Args:
        source: A model of the llama architecture.
        target: Replaced if it exists, in one step.
        drop_layers: Layers to leave out, by their number in `source`.

    Raises:
        IntegrityError: `source` is no such model, or lacks one of the layers.
        StorageError: `target` cannot be written.
    """
    reader = read(source)
    header = _header(reader)
    if "llama.block_count" not in header:
        raise IntegrityError(f"{source} is not a llama model: it has no llama.block_count.")
    layers = int(header["llama.block_count"].contents())
    if unknown := sorted(set(drop_layers) - set(range(layers))):
        raise IntegrityError(f"{source} has layers 0 to {layers - 1}; cannot drop {unknown}.")
    kept = [layer for layer in range(layers) if layer not in drop_layers]
    number = {old: new for new, old in enumerate(kept)}
    with atomic_write(target) as aside:
        writer = gguf.GGUFWriter(aside, "llama")
        _copy_header(writer, header, {"llama.block_count": len(kept)})
        for tensor in reader.tensors:
            name = tensor.name
            if block := _BLOCK.fullmatch(name):
                if int(block[1]) not in number:
                    continue
                name = f"blk.{number[int(block[1])]}.{block[2]}"
            writer.add_tensor(name, tensor.data, raw_dtype=tensor.tensor_type)
        _write(writer)


def rotary_rows(rows: Array, heads: int) -> Array:
    """Rows of a q or k projection in llama.cpp's order.

    transformers rotates the pair (i, i + d/2) of each head of width d, llama.cpp the neighbours
    (2i, 2i + 1); so row `h*d + j*d/2 + i` (j = 0, 1) moves to `h*d + 2*i + j`. Same as `permute`
    in llama.cpp `convert_hf_to_gguf.py`.

    Args:
        rows: Shape (heads * d, anything), d even.
        heads: Attention heads (for k: key-value heads).
    """
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(rows.shape)


def write_lora(
    target: Path,
    tensors: Mapping[tuple[int, str], tuple[Array, Array]],
    alpha: float,
    *,
    heads: int,
    kv_heads: int,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a LoRA adapter for llama.cpp, in float16.

    The engine adds (alpha / r) * B A x, as PEFT does with `lora_alpha` = alpha.

    Args:
        target: Replaced if it exists, in one step.
        tensors: (layer, transformers' projection name such as "q_proj") -> (A, B) in PEFT's own
            order: A of shape (r, in), B of shape (out, r). Layers count as in the served base.
        alpha: LoRA alpha.
        heads: Attention heads of the base.
        kv_heads: Its key-value heads.
        metadata: More header strings, such as "general.name".

    Raises:
        IntegrityError: Nothing to write, shapes that don't fit, or a value float16 cannot hold.
        StorageError: `target` cannot be written.
    """
    if not tensors:
        raise IntegrityError("The adapter has no tensors.")
    out: dict[str, Array] = {}
    for (layer, module), (a, b) in sorted(tensors.items()):
        if module not in LORA_MODULES:
            raise IntegrityError(f"{module!r} is not one of {', '.join(LORA_MODULES)}.")
        where = f"layer {layer}, {module}"
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
            raise IntegrityError(f"{where}: A {a.shape} and B {b.shape} share no rank.")
        if module in ("q_proj", "k_proj"):
            b = rotary_rows(b, heads if module == "q_proj" else kv_heads)
        for end, array in (("a", a), ("b", b)):
            key = f"blk.{layer}.{LORA_MODULES[module]}.weight.lora_{end}"
            out[key] = _narrowed(array, f"{where}: {end.upper()}")
    with atomic_write(target) as aside:
        writer = gguf.GGUFWriter(aside, "llama")
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        for name, text in (metadata or {}).items():
            writer.add_string(name, text)
        for name, half in out.items():
            writer.add_tensor(name, half)
        _write(writer)


def write_weights(base: Path, target: Path, weights: Mapping[str, Array], *, name: str) -> None:
    """Write all weights of a model of the llama architecture, with the header of its base.

    Matrices are written in float16, vectors in float32.

    Args:
        base: The GGUF the model was trained from; its tensors say which there are.
        target: Replaced if it exists, in one step.
        weights: transformers' name, such as "model.norm.weight", -> values.
        name: For the header.

    Raises:
        IntegrityError: `base` is no such model, a tensor is missing or of another shape, or a
            value float16 cannot hold.
        StorageError: `target` cannot be written.
    """
    reader = read(base)
    header = _header(reader)
    try:
        heads = {
            "attn_q": int(header["llama.attention.head_count"].contents()),
            "attn_k": int(header["llama.attention.head_count_kv"].contents()),
        }
    except KeyError as error:
        raise IntegrityError(f"{base} is not a llama model: it has no {error}.") from error
    with atomic_write(target) as aside:
        writer = gguf.GGUFWriter(aside, "llama")
        half = int(gguf.LlamaFileType.MOSTLY_F16)
        _copy_header(writer, header, {"general.name": name, "general.file_type": half})
        for tensor in reader.tensors:
            block = _BLOCK.fullmatch(tensor.name)
            kind = (block[2] if block else tensor.name).removesuffix(".weight")
            if kind not in _TENSORS:  # not trained, such as the factors of the rotation
                writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
                continue
            layer = f"model.layers.{block[1]}." if block else ""
            found = weights.get(f"{layer}{_TENSORS[kind]}.weight")
            shape = tuple(int(n) for n in reversed(tensor.shape))
            if found is None or found.shape != shape:
                has = "is missing" if found is None else f"has the shape {found.shape}"
                raise IntegrityError(f"{tensor.name} {has}; {base.name} has {shape} there.")
            if kind in heads:
                found = rotary_rows(found, heads[kind])
            writer.add_tensor(tensor.name, _narrowed(found, tensor.name))
        _write(writer)


def _header(reader: gguf.GGUFReader) -> dict[str, gguf.ReaderField]:
    return {name: f for name, f in reader.fields.items() if not name.startswith(_SET_BY_WRITER)}


def _copy_header(
    writer: gguf.GGUFWriter, header: Mapping[str, gguf.ReaderField], changes: Mapping[str, Any]
) -> None:
    for name, f in header.items():
        array_of = f.types[-1] if f.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, changes.get(name, f.contents()), f.types[0], array_of)


def _narrowed(values: Array, where: str) -> Array:
    """Matrices in float16, vectors in float32."""
    if values.ndim < 2:
        return np.ascontiguousarray(values, dtype=np.float32)
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(values, dtype=np.float16)
    if not np.isfinite(half).all():
        raise IntegrityError(f"{where} has values float16 cannot hold.")
    return half


def check_adapter(adapter: Path, base: Path) -> None:
    """Return if `adapter` is a LoRA whose every tensor fits a tensor of `base`.

    Raises:
        IntegrityError: Every mismatch found, or either file is unreadable.
    """
    reader, problems = read(adapter), []
    for key, wanted in (
        ("general.architecture", "llama"),
        ("general.type", "adapter"),
        ("adapter.type", "lora"),
    ):
        found = reader.fields[key].contents() if key in reader.fields else None
        if found != wanted:
            problems.append(f"{key} is {found!r}, not {wanted!r}")
    shapes = {t.name: tuple(int(n) for n in t.shape) for t in read(base).tensors}
    pairs: defaultdict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for tensor in reader.tensors:
        if not _LORA.fullmatch(tensor.name):
            problems.append(f"{tensor.name} is not a LoRA tensor")
            continue
        pairs[tensor.name[:-7]][tensor.name[-1]] = tuple(int(n) for n in tensor.shape)
    for name, ends in pairs.items():
        if name not in shapes:
            problems.append(f"the base has no {name}")
        elif len(ends) != 2:
            problems.append(f"{name} has only half of its pair")
        elif (ends["a"][0], ends["b"][1]) != shapes[name] or ends["a"][1] != ends["b"][0]:
            problems.append(f"{name}: A {ends['a']}, B {ends['b']}, base {shapes[name]}")
    if problems or not pairs:
        raise IntegrityError(
            f"{adapter.name} does not fit {base.name}: "
            + ("; ".join(problems[:5]) or "it has no tensors"),
            "An adapter only works on the base it was trained on.",
        )


def _write(writer: gguf.GGUFWriter) -> None:
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m imitation.models.embedded.gguf SOURCE TARGET LAYER...` cuts layers out.

    For `weights`, which keeps numpy out of its own process; layers count from 0.
    """
    source, target, *layers = sys.argv[1:] if argv is None else argv
    try:
        cut(Path(source), Path(target), [int(layer) for layer in layers])
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
