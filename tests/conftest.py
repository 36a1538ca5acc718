"""Fixtures for every test folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imitation.models.embedded.dequantised import dequantised
from imitation.models.embedded.weights import weights_path
from imitation.settings import Settings, read_settings
from tests import finished_run
from tests.evaluation import llama_like
from tests.finished_run import Finished
from tests.vllm_server import VLLM, serving_vllm, vllm_python


@pytest.fixture(scope="session")
def pocket_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The real cache (IMITATION_CACHE or the default) with the whole model, data of its own."""
    settings = replace(read_settings(), data=tmp_path_factory.mktemp("data"))
    weights_path(settings, "whole")
    return settings


@pytest.fixture(scope="session")
def finished(pocket_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A dataset and finished runs as the lab's own commands leave them; one for all tests."""
    return finished_run.make(pocket_settings, tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def vllm(pocket_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLM]:
    """A real vLLM that serves the pocket base (cut-4); one for all tests that want it."""
    vllm_python()  # skip before anything is computed
    folder, _ = dequantised(pocket_settings, weights_path(pocket_settings, "cut-4"))
    with serving_vllm(folder, tmp_path_factory.mktemp("vllm") / "vllm.log") as server:
        yield server


@pytest.fixture(scope="session")
def llama_like_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model whose tokenizer is like LLaMA's, and its GGUF beside it."""
    folder = tmp_path_factory.mktemp("llama_like")
    llama_like.as_gguf(llama_like.make(folder), folder / "tiny.gguf")
    return folder


@pytest.fixture(scope="session")
def llama_like_vllm(
    llama_like_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VLLM]:
    """A real vLLM that serves it."""
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    with serving_vllm(llama_like_folder, log, context=llama_like.CONTEXT) as server:
        yield server
