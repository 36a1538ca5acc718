"""Fixtures for every test folder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imitation.models.pocket import weights_path
from imitation.settings import Settings, read_settings


@pytest.fixture(scope="session")
def pocket_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The real cache (IMITATION_CACHE or the default) with the whole model, data of its own."""
    settings = replace(read_settings(), data=tmp_path_factory.mktemp("data"))
    weights_path(settings, "whole")
    return settings
