"""The look: one palette (light and dark), the Gradio theme and the Plotly templates made of it.

Every colour of the page is a CSS variable of `style.css`; the theme only points Gradio's own
variables at them. Plotly draws without CSS, so the same values live here as `LIGHT` and `DARK`,
and a test keeps the two files equal.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from pathlib import Path

import gradio as gr
import plotly.graph_objects as go

from imitation.values import Role

css_path = Path(__file__).with_name("style.css")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


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

    def role(self, role: Role) -> str:
        """Colour of a role."""
        colour: str = getattr(self, role)
        return colour

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


def plotly_template(palette: Palette) -> go.layout.Template:
    """Transparent template: quiet grid, no legend, no fill; text in the palette's soft ink."""
    axis = {
        "gridcolor": palette.line,
        "linecolor": palette.line,
        "zerolinecolor": palette.line,
        "tickfont": {"color": palette.soft, "size": 13},
        "title": {"font": {"color": palette.soft, "size": 13}},
        "ticks": "",
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONT, "color": palette.soft, "size": 13},
            "title": {"font": {"color": palette.ink}},
            "colorway": [palette.imitation, palette.reference, palette.base],
            "showlegend": False,
            "xaxis": {**axis, "showgrid": False, "zeroline": False},
            "yaxis": {**axis, "zeroline": False},
            "hoverlabel": {
                "bgcolor": palette.card,
                "bordercolor": palette.line,
                "font": {"family": FONT, "color": palette.ink, "size": 13},
                "align": "left",
            },
            "margin": {"l": 44, "r": 16, "t": 44, "b": 40},
            "hovermode": "closest",
        }
    )


def theme() -> gr.themes.Base:
    """The Gradio theme: system fonts, no remote file, every colour a variable of `style.css`."""
    made = gr.themes.Base(
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Arial", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    )
    known = inspect.signature(made.set).parameters
    chosen = dict(_VARIABLES)
    # Base gives dark values of its own to many names; ours are variables that switch by themselves.
    chosen |= {
        f"{name}_dark": value for name, value in _VARIABLES.items() if f"{name}_dark" in known
    }
    made.set(**chosen)
    return made


_INK, _SOFT, _LINE = "var(--lab-ink)", "var(--lab-soft)", "var(--lab-line)"
_GROUND, _CARD, _BAD = "var(--lab-ground)", "var(--lab-card)", "var(--lab-bad)"
_VARIABLES = {
    "body_background_fill": _GROUND,
    "body_text_color": _INK,
    "body_text_color_subdued": _SOFT,
    "background_fill_primary": _CARD,
    "background_fill_secondary": _GROUND,
    "border_color_primary": _LINE,
    "border_color_accent": _SOFT,
    "color_accent": _INK,
    "color_accent_soft": _GROUND,
    "link_text_color": "var(--lab-reference)",
    "link_text_color_hover": _INK,
    "link_text_color_active": _INK,
    "link_text_color_visited": "var(--lab-reference)",
    "code_background_fill": "var(--lab-ground)",
    "block_background_fill": "transparent",
    "block_border_color": _LINE,
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_padding": "0px",
    "block_radius": "10px",
    "block_label_background_fill": "transparent",
    "block_label_border_width": "0px",
    "block_label_text_color": _SOFT,
    "block_title_text_color": _SOFT,
    "block_title_text_size": "*text_sm",
    "block_title_text_weight": "400",
    "block_info_text_color": _SOFT,
    "panel_background_fill": _CARD,
    "panel_border_color": _LINE,
    "accordion_text_color": _SOFT,
    "table_text_color": _INK,
    "table_border_color": _LINE,
    "table_even_background_fill": _CARD,
    "table_odd_background_fill": _CARD,
    "table_row_focus": _GROUND,
    "input_background_fill": _CARD,
    "input_background_fill_focus": _CARD,
    "input_background_fill_hover": _CARD,
    "input_border_color": _LINE,
    "input_border_color_focus": _SOFT,
    "input_border_color_hover": _SOFT,
    "input_border_width": "1px",
    "input_placeholder_color": _SOFT,
    "input_radius": "10px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "checkbox_background_color": _CARD,
    "checkbox_background_color_focus": _CARD,
    "checkbox_background_color_hover": _CARD,
    "checkbox_background_color_selected": _INK,
    "checkbox_border_color": _SOFT,
    "checkbox_border_color_focus": _INK,
    "checkbox_border_color_hover": _INK,
    "checkbox_border_color_selected": _INK,
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_background_fill_hover": "transparent",
    "checkbox_label_background_fill_selected": "transparent",
    "checkbox_label_border_color": _LINE,
    "checkbox_label_text_color": _INK,
    "checkbox_label_text_color_selected": _INK,
    "checkbox_label_shadow": "none",
    "error_background_fill": _CARD,
    "error_border_color": _BAD,
    "error_text_color": _BAD,
    "error_icon_color": _BAD,
    "loader_color": _SOFT,
    "slider_color": _SOFT,
    "stat_background_fill": _SOFT,
    "button_large_radius": "10px",
    "button_medium_radius": "10px",
    "button_small_radius": "8px",
    "button_large_text_size": "*text_md",
    "button_large_text_weight": "500",
    "button_medium_text_size": "*text_md",
    "button_medium_text_weight": "400",
    "button_small_text_weight": "400",
    "button_border_width": "1px",
    "button_primary_background_fill": _INK,
    "button_primary_background_fill_hover": _SOFT,
    "button_primary_border_color": _INK,
    "button_primary_border_color_hover": _SOFT,
    "button_primary_text_color": _GROUND,
    "button_primary_text_color_hover": _GROUND,
    "button_primary_shadow": "none",
    "button_secondary_background_fill": _CARD,
    "button_secondary_background_fill_hover": _GROUND,
    "button_secondary_border_color": _LINE,
    "button_secondary_border_color_hover": _SOFT,
    "button_secondary_text_color": _INK,
    "button_secondary_text_color_hover": _INK,
    "button_secondary_shadow": "none",
    "button_cancel_background_fill": _CARD,
    "button_cancel_background_fill_hover": _GROUND,
    "button_cancel_border_color": _BAD,
    "button_cancel_border_color_hover": _BAD,
    "button_cancel_text_color": _BAD,
    "button_cancel_text_color_hover": _BAD,
    "button_cancel_shadow": "none",
}
