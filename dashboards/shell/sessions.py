"""What Gradio keeps of each visitor, made small.

Gradio works out for every new session what each of a page's components looks like, and keeps it as
long as it knows the session: 0.6 MB and 60 ms of the event loop a visitor, for values that hardly
any session changes. Here sessions share them until they change one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, MutableMapping
from typing import Any

import gradio as gr
from gradio import state_holder

MOST_SESSIONS = 1000
"""Sessions kept; of more, the ones unused for longest are forgotten. About 15 kB each."""

_CONFIGS = ("blocks_config", "config_values")


class _Configs(MutableMapping[int, Any]):
    """Component id -> what it looks like: the app's, and over them what one session changed."""

    def __init__(self, shared: dict[int, Any]) -> None:
        self._shared = shared
        self._own: dict[int, Any] = {}

    def __getitem__(self, key: int) -> Any:
        # Gradio changes what it gets in place: the value under "props".
        if key not in self._own:
            found = self._shared[key]
            self._own[key] = (
                {**found, "props": copy.copy(found["props"])} if "props" in found else {**found}
            )
        return self._own[key]

    def __setitem__(self, key: int, config: Any) -> None:
        self._own[key] = config

    def __delitem__(self, key: int) -> None:
        raise TypeError("Gradio takes no component away")

    def __iter__(self) -> Iterator[int]:
        yield from self._shared
        yield from (key for key in self._own if key not in self._shared)

    def __len__(self) -> int:
        return len(self._shared.keys() | self._own.keys())


def share_defaults(demo: gr.Blocks) -> None:
    """Let the sessions of `demo`, which is built and not launched, share what they start from."""
    first = state_holder.SessionState(demo)
    shared = dict(first.config_values)
    others = {name: value for name, value in vars(first).items() if name not in _CONFIGS}

    class Session(state_holder.SessionState):
        def __init__(self, blocks: gr.Blocks) -> None:
            if blocks is not demo:
                super().__init__(blocks)
                return
            self.__dict__.update(copy.deepcopy(others))
            self.blocks_config = copy.copy(blocks.default_config)
            self.config_values = _Configs(shared)  # type: ignore[assignment]

    state_holder.SessionState = Session  # type: ignore[misc]
