"""What pages work with, over a data folder of its own."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dashboards.shell.context import Context
from imitation.models.backends.registry import Backends
from imitation.settings import read_settings
from imitation.storage.database import connect


@pytest.fixture
def environment() -> dict[str, str]:
    """Settings of `context` besides its data folder; a test module may have its own."""
    return {}


@pytest.fixture
def catalog_text() -> str:
    """The models.toml in the data folder of `context`, "" for none; a module may have its own."""
    return ""


@pytest.fixture
def context(tmp_path: Path, environment: dict[str, str], catalog_text: str) -> Iterator[Context]:
    settings = read_settings({"IMITATION_DATA": str(tmp_path / "data"), **environment})
    with closing(connect(settings.database)) as db:
        if catalog_text:
            (settings.data / "models.toml").write_text(catalog_text, "utf-8")
        context = Context(settings, db, Backends(settings))
        yield context
        context.jobs.close()
