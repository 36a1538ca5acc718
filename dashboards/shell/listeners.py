"""Listeners whose inputs and outputs have names, so that none counts positions.

A handler takes the values of a form's fields by name and gives updates by name; what it does not
name stays as it is. So no handler depends on the order in which a page is laid out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

Updates = dict[str, Any]
"""Name of a component -> its new value, or a `gr.update`."""
Named = Mapping[str, Any]
"""Components (or rows and columns, where only their visibility changes) by name."""
Handler = Callable[..., Mapping[str, Any] | None]
QUIET: Mapping[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""Options of a listener that is for the page alone."""


def components(form: Any) -> dict[str, Any]:
    """The components of a dataclass by name, in order."""
    return {field.name: getattr(form, field.name) for field in fields(form)}


def listen(
    triggers: Callable[..., Any] | Sequence[Any],
    handler: Handler,
    inputs: Component | Sequence[Component] | Named,
    outputs: Named | None = None,
    form: Named | None = None,
    **options: Any,
) -> Dependency:
    """Have a handler called whenever one of the triggers fires.

    Args:
        triggers: What takes the listener, such as `button.click`, or several of these.
        handler: Gives the updates of those outputs that change.
        inputs: What it takes first, by position; or by name, where they have names.
        outputs: What it may update.
        form: More of what it takes by name.
        options: As Gradio takes them.
    """
    return _on(triggers, by_component(handler, outputs or {}), inputs, outputs, form, options)


def listen_clicks(
    triggers: Callable[..., Any] | Sequence[Any],
    handler: Handler,
    inputs: Named,
    outputs: Named | None = None,
    **options: Any,
) -> Dependency:
    """As `listen`, for buttons in HTML: the handler's first argument is what the button says.

    That is its data-attributes by name (`scripts.CLICK_JS`), from a browser: not to be trusted.
    """

    def handle(event: gr.EventData, **values: Any) -> Any:
        data = {str(key): str(value) for key, value in (event._data or {}).items()}
        return _updates(handler, handler(data, **values), outputs or {})

    return _on(triggers, handle, inputs, outputs, None, options)


def by_component(handler: Handler, outputs: Named) -> Callable[..., Any]:
    """A handler as Gradio calls it: its updates by component.

    Raises:
        KeyError: When called, where the handler updates what is no output.
    """

    @wraps(handler)  # Gradio reads its annotations, to hand over what was clicked
    def call(*args: Any, **values: Any) -> Any:
        return _updates(handler, handler(*args, **values), outputs)

    return call


def _updates(handler: Handler, changes: Mapping[str, Any] | None, outputs: Named) -> Any:
    if unknown := (changes or {}).keys() - outputs.keys():
        name = getattr(handler, "__name__", "a handler")
        raise KeyError(f"{name} updates {sorted(unknown)}, which are no outputs of its listener")
    updates = {outputs[name]: value for name, value in (changes or {}).items()}
    # Gradio takes an empty table for a value, so one output is told to stay as it is.
    return updates or {output: gr.skip() for output in list(outputs.values())[:1]} or None


def _on(
    triggers: Callable[..., Any] | Sequence[Any],
    handle: Callable[..., Any],
    inputs: Component | Sequence[Component] | Named,
    outputs: Named | None,
    form: Named | None,
    options: Mapping[str, Any],
) -> Dependency:
    by_name = dict(inputs) if isinstance(inputs, Mapping) else {}
    first = [] if isinstance(inputs, Mapping) else inputs
    wiring: dict[str, Any] = {
        "inputs": first,
        "inputs_kwargs": {**by_name, **(form or {})},
        "outputs": list((outputs or {}).values()),
        **options,
    }
    dependency: Dependency = (
        triggers(handle, **wiring) if callable(triggers) else gr.on(triggers, handle, **wiring)
    )
    return dependency
