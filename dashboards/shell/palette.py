"""The palette, light and dark; no Gradio, no Plotly.

`style.css` holds the same values as CSS variables, and a test keeps the two files equal.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours by meaning, as #rrggbb; `base`, `imitation` and `reference` never mean another."""

    ground: str
    card: str
    ink: str
    soft: str
    line: str
    base: str
    imitation: str
    reference: str
    good: str
    bad: str

    def items(self) -> list[tuple[str, str]]:
        """(name, colour) in order; the CSS variable of a name is `--lab-<name>`."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


LIGHT = Palette(
    ground="#fbfbfa",
    card="#ffffff",
    ink="#16181d",
    soft="#5b616b",
    line="#e4e4e0",
    base="#6b727c",
    imitation="#c04b00",
    reference="#0067a3",
    good="#1a7f4b",
    bad="#b3261e",
)
DARK = Palette(
    ground="#121316",
    card="#1a1c20",
    ink="#eceef1",
    soft="#a2a8b2",
    line="#2c2f35",
    base="#a3a9b3",
    imitation="#ff9457",
    reference="#5ab6ee",
    good="#58c48c",
    bad="#ff8a80",
)


def contrast(one: str, other: str) -> float:
    """Contrast of two #rrggbb colours, 1 to 21 (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
