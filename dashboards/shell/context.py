"""What every page is given: the settings, the store, the models."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imitation.jobs.queue.runner import Runner
from imitation.models.backends.registry import Backends
from imitation.models.catalog import Catalog, load_catalog
from imitation.models.health import Health
from imitation.settings import Settings
from imitation.storage.database import Store

log = logging.getLogger(__name__)


@dataclass
class Context:
    """The parts a page works with.

    Attributes:
        settings: Where things live.
        db: The store, migrated.
        backends: Streams answers for cards.
        notices: Sentences to show on every page (a database kept aside, ...).
        health: Which models can be asked, found out in the background once started.
        jobs: The queue of fine-tunes, generations and evaluations.
    """

    settings: Settings
    db: Store
    backends: Backends
    notices: list[str] = field(default_factory=list)
    health: Health = field(init=False)
    jobs: Runner = field(init=False)
    _catalog: Catalog = field(default_factory=Catalog, init=False)
    _problem: str = field(default="", init=False)
    _stamp: tuple[tuple[Path, float], ...] = field(default=(), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.health = Health(self.backends, lambda: self.catalog().values())
        self.jobs = Runner(self.settings, self.db)

    def catalog(self) -> Catalog:
        """The catalog, read again when one of its files has changed.

        A card that cannot be used takes no other with it. While a file cannot be read at all, the
        last catalog stays in force (the rest of it at first). Both are told in `catalog_problem`.
        """
        paths = self.settings.catalogs
        stamp = tuple((path, path.stat().st_mtime) for path in paths if path.is_file())
        with self._lock:
            if stamp != self._stamp:
                catalog = load_catalog(paths)
                self._stamp = stamp
                self._problem = catalog.problem
                if self._problem:
                    log.error("%s", self._problem)
                if catalog.is_whole or not self._catalog:
                    self._catalog = catalog
            return self._catalog

    def model_name(self, model: str) -> str:
        """What people read for a model's id; the id where no card has it."""
        catalog = self.catalog()
        return catalog[model].name if model in catalog else model

    def catalog_problem(self) -> str:
        """What is wrong with the catalog files, "" if nothing is."""
        self.catalog()
        return self._problem


Page = Callable[[Context], None]
"""A page's `build`: called inside its route, adds components and listeners."""
