"""Listeners whose inputs and outputs have names, so that none counts positions.

A handler takes the values of a form's fields by name and gives updates by name; what it does not
name stays as it is. A page puts its components into frozen dataclasses or tables, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from typing import Any

import gradio as gr
from gradio.components import Component

Updates = dict[str, Any]
"""Name of a component -> its new value, or a `gr.update`."""
QUIET: Mapping[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""Options of a listener that is for the page alone."""


def components(form: Any) -> dict[str, Any]:
    """The components of a dataclass by name, in order."""
    return {field.name: getattr(form, field.name) for field in fields(form)}


def listen(
    trigger: Callable[..., Any],
    handler: Callable[..., Updates],
    inputs: Component | list[Component],
    outputs: Mapping[str, Component],
    form: Mapping[str, Component] | None = None,
    **options: Any,
) -> Any:
    """Have `handler` called at an event.

    Args:
        trigger: What takes the listener, such as `button.click`.
        handler: Gives the updates of those outputs that change.
        inputs: What it takes first, by position.
        outputs: What it may update.
        form: What it takes by name.
        options: As Gradio takes them.
    """
    return trigger(
        _by_component(handler, outputs),
        inputs,
        list(outputs.values()),
        inputs_kwargs=dict(form or {}),
        **options,
    )


def _by_component(
    handler: Callable[..., Updates], outputs: Mapping[str, Component]
) -> Callable[..., Any]:
    @wraps(handler)
    def call(*args: Any, **values: Any) -> Any:
        updates = {outputs[name]: value for name, value in handler(*args, **values).items()}
        # Gradio takes an empty table for a value.
        return updates or gr.skip()

    return call
