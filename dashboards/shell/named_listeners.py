"""Listeners whose inputs and outputs have names.

A handler gets its inputs as keyword arguments and returns a table of what changes; outputs that it
does not name stay as they are. So no handler depends on the order in which a page is laid out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

Named = Mapping[str, Any]
"""Components (or rows and columns, where only their visibility changes) by name."""
Handler = Callable[..., Mapping[str, Any] | None]


def listen(
    triggers: Sequence[Any] | Any,
    handler: Handler,
    inputs: Mapping[str, Component],
    outputs: Named | None = None,
    **options: Any,
) -> Dependency:
    """Call a handler whenever one of the triggers fires.

    Args:
        triggers: Events, such as `button.click`, or one of them or of another listener, `.then`.
        handler: Takes the names of `inputs`, returns a table with some names of `outputs`.
        inputs: What it reads.
        outputs: What it may change.
        options: Of `gr.on`.
    """

    def handle(**values: Any) -> dict[Any, Any] | None:
        return _updates(handler(**values), outputs or {})

    return _on(triggers, handle, inputs, outputs, options)


def listen_clicks(
    triggers: Sequence[Any] | Any,
    handler: Handler,
    inputs: Mapping[str, Component],
    outputs: Named | None = None,
    **options: Any,
) -> Dependency:
    """As `listen`, for buttons in HTML: the handler's first argument is what the button says.

    That is its data-attributes by name (see scripts.CLICK_JS), from a browser: not to be trusted.
    """

    def handle(event: gr.EventData, **values: Any) -> dict[Any, Any] | None:
        data = {str(key): str(value) for key, value in (event._data or {}).items()}
        return _updates(handler(data, **values), outputs or {})

    return _on(triggers, handle, inputs, outputs, options)


def _on(
    triggers: Sequence[Any] | Any,
    handle: Callable[..., Any],
    inputs: Mapping[str, Component],
    outputs: Named | None,
    options: Mapping[str, Any],
) -> Dependency:
    named = {"inputs_kwargs": dict(inputs), "outputs": list((outputs or {}).values()), **options}
    if callable(triggers):
        dependency: Dependency = triggers(handle, **named)
        return dependency
    return gr.on(triggers, handle, **named)


def _updates(changes: Mapping[str, Any] | None, outputs: Named) -> dict[Any, Any] | None:
    updates = {outputs[name]: value for name, value in (changes or {}).items()}
    # Gradio takes an empty table for a value, so one output is told to stay as it is.
    return updates or {output: gr.skip() for output in list(outputs.values())[:1]} or None
