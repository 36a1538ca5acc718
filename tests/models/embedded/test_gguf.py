"""Cutting a GGUF and writing adapters, on the real weights; the engine's part is elsewhere."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from imitation.errors import IntegrityError, StorageError
from imitation.models.embedded.gguf import (
    check_adapter,
    cut,
    main,
    read,
    read_metadata,
    rotary_rows,
    write_lora,
)
from imitation.models.embedded.weights import DROP_ORDER, cached_path, dropped_layers, weights_path

HEADS, KV_HEADS, WIDTH, LAYERS = 9, 3, 576, 6


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A model's file with the pocket family's shapes, 6 layers and a vocabulary of 3."""
    path = tmp_path_factory.mktemp("small") / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_block_count(LAYERS)
    writer.add_languages(["en"])
    writer.add_token_list(["a", "b", "\u2581c"])
    writer.add_token_scores([0.0, -1.0, -2.0])
    writer.add_bos_token_id(1)
    rng = np.random.default_rng(0)
    writer.add_tensor("token_embd.weight", rng.normal(size=(3, WIDTH)).astype(np.float16))
    for layer in range(LAYERS):
        q4 = gguf.quants.quantize(
            rng.normal(size=(WIDTH, WIDTH)).astype(np.float32), gguf.GGMLQuantizationType.Q4_1
        )
        name = f"blk.{layer}.attn_q.weight"
        writer.add_tensor(name, q4, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
        writer.add_tensor(f"blk.{layer}.attn_k.weight", rng.normal(size=(192, WIDTH)))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", rng.normal(size=(WIDTH, 1536)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def adapter(b: np.ndarray, layer: int = 0) -> dict:
    return {(layer, "q_proj"): (np.ones((b.shape[1], WIDTH)), b)}


def test_the_layers_dropped_are_the_first_of_the_order():
    assert dropped_layers("whole") == ()
    assert dropped_layers("cut-4") == tuple(sorted(DROP_ORDER[:4])) == (13, 14, 15, 17)


def assert_is_cut(source: Path, target: Path, dropped: tuple[int, ...]) -> None:
    """Every kept block, renumbered, has its old bytes; every other key its old value."""
    before, after = read(source), read(target)
    layers = before.fields["llama.block_count"].contents()
    kept = [layer for layer in range(layers) if layer not in dropped]
    old = {t.name: t for t in before.tensors}
    names = set()
    for tensor in after.tensors:
        name = tensor.name
        if name.startswith("blk."):
            _, number, rest = name.split(".", 2)
            name = f"blk.{kept[int(number)]}.{rest}"
        assert tensor.tensor_type == old[name].tensor_type
        assert np.array_equal(tensor.shape, old[name].shape)
        assert np.array_equal(tensor.data, old[name].data), name
        names.add(name)
    assert {n for n in old if n not in names} == {
        n for n in old for layer in dropped if n.startswith(f"blk.{layer}.")
    }
    for name, field in before.fields.items():
        if not name.startswith("GGUF."):
            wanted = len(kept) if name == "llama.block_count" else field.contents()
            assert after.fields[name].contents() == wanted, name
            assert after.fields[name].types == field.types


def test_a_cut_keeps_the_bytes_of_the_other_blocks_and_every_other_key(small, tmp_path):
    cut(small, tmp_path / "cut.gguf", [4, 1])
    assert_is_cut(small, tmp_path / "cut.gguf", (1, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["cut.gguf"]


@pytest.mark.slow
def test_the_pocket_bases_are_cuts_of_the_whole_model(pocket_settings):
    whole = cached_path(pocket_settings, "whole")
    assert_is_cut(whole, weights_path(pocket_settings, "cut-4"), dropped_layers("cut-4"))


def test_a_layer_that_is_not_there_is_named(small, tmp_path):
    with pytest.raises(IntegrityError, match=r"layers 0 to 5; cannot drop \[6\]"):
        cut(small, tmp_path / "x.gguf", [3, 6])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, 3, 30, 5_000, 3_000_000])
def test_a_truncated_file_is_refused_in_words(small, tmp_path, size):
    part = tmp_path / "part.gguf"
    with small.open("rb") as full:
        part.write_bytes(full.read(size))
    with pytest.raises(IntegrityError, match=r"part\.gguf is not a whole GGUF file"):
        cut(part, tmp_path / "out.gguf", [1])
    assert list(tmp_path.iterdir()) == [part]


def test_random_bytes_are_refused(tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF\x03\0\0\0" + np.random.default_rng(0).bytes(4000))
    with pytest.raises(IntegrityError):
        read_metadata(bad)
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_metadata(tmp_path / "none.gguf")


def test_an_unwritable_target_is_told_in_words(small, tmp_path, capsys):
    blocked = tmp_path / "file" / "out.gguf"
    blocked.parent.write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="Could not write"):
        write_lora(blocked, adapter(np.zeros((WIDTH, 2))), 4, heads=HEADS, kv_heads=KV_HEADS)
    assert main([str(tmp_path / "none.gguf"), str(blocked), "1"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_rotary_rows_give_llama_cpp_the_scores_of_transformers():
    """The pairs transformers turns (i, i + d/2) are those llama.cpp turns (2i, 2i + 1)."""
    rng = np.random.default_rng(0)
    heads, d, width = 3, 8, 16
    q, k = rng.normal(size=(2, heads * d, width))
    x, y = rng.normal(size=(2, width))
    angle = 0.37 * np.arange(1, d // 2 + 1)

    def turned(vector: np.ndarray, first: np.ndarray, second: np.ndarray, at: int) -> np.ndarray:
        out = vector.copy()
        c, s = np.cos(at * angle), np.sin(at * angle)
        out[:, first] = vector[:, first] * c - vector[:, second] * s
        out[:, second] = vector[:, second] * c + vector[:, first] * s
        return out

    def scores(q: np.ndarray, k: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        queries = turned((q @ x).reshape(heads, d), first, second, 5)
        keys = turned((k @ y).reshape(heads, d), first, second, 2)
        return (queries * keys).sum(1)

    half, even = np.arange(d // 2), np.arange(0, d, 2)
    transformers = scores(q, k, half, half + d // 2)
    llama = scores(rotary_rows(q, heads), rotary_rows(k, heads), even, even + 1)
    assert np.allclose(transformers, llama)
    assert not np.allclose(transformers, scores(q, k, even, even + 1))


def test_a_written_adapter_says_what_it_is_and_fits_its_base(small, tmp_path):
    path = tmp_path / "a.gguf"
    rng = np.random.default_rng(0)
    tensors = {
        (3, "k_proj"): (rng.normal(size=(4, WIDTH)), rng.normal(size=(192, 4))),
        (5, "down_proj"): (rng.normal(size=(4, 1536)), rng.normal(size=(WIDTH, 4))),
    }
    write_lora(path, tensors, 8.0, heads=HEADS, kv_heads=KV_HEADS, metadata={"general.name": "Try"})
    meta = read_metadata(path)
    assert meta["general.type"] == "adapter" and meta["adapter.type"] == "lora"
    assert meta["adapter.lora.alpha"] == 8.0 and meta["general.name"] == "Try"
    found = {t.name: t.data for t in read(path).tensors}
    a, b = tensors[(5, "down_proj")]
    assert np.array_equal(found["blk.5.ffn_down.weight.lora_a"], a.astype(np.float16))
    assert np.array_equal(found["blk.5.ffn_down.weight.lora_b"], b.astype(np.float16))
    k = tensors[(3, "k_proj")][1]
    assert np.array_equal(
        found["blk.3.attn_k.weight.lora_b"], rotary_rows(k, KV_HEADS).astype(np.float16)
    )
    check_adapter(path, small)


def test_an_adapter_for_another_base_is_refused(small, tmp_path):
    path = tmp_path / "a.gguf"
    write_lora(path, adapter(np.zeros((WIDTH, 2)), 28), 4, heads=HEADS, kv_heads=KV_HEADS)
    with pytest.raises(IntegrityError, match=r"the base has no blk\.28\.attn_q\.weight"):
        check_adapter(path, small)
    write_lora(path, adapter(np.zeros((288, 2))), 4, heads=HEADS, kv_heads=KV_HEADS)
    with pytest.raises(IntegrityError, match=r"blk\.0\.attn_q\.weight: A \(576, 2\), B \(2, 288\)"):
        check_adapter(path, small)
    with pytest.raises(IntegrityError, match=r"general\.type is 'model', not 'adapter'"):
        check_adapter(small, small)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "no tensors"),
        (adapter(np.full((WIDTH, 2), 1e6)), "layer 0, q_proj: B has values float16 cannot hold"),
        ({(0, "q_proj"): (np.ones((3, WIDTH)), np.ones((WIDTH, 2)))}, "share no rank"),
        ({(0, "lm_head"): (np.ones((2, 2)), np.ones((2, 2)))}, "'lm_head' is not one of q_proj"),
    ],
)
def test_what_no_adapter_can_hold_is_refused(tensors, words, tmp_path):
    with pytest.raises(IntegrityError, match=words):
        write_lora(tmp_path / "a.gguf", tensors, 4, heads=HEADS, kv_heads=KV_HEADS)
    assert not list(tmp_path.iterdir())
