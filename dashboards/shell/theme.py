"""The Gradio theme.

Every colour of the page is a CSS variable of `style.css`; the theme only points Gradio's own
variables at them, so light and dark switch in one place. The values are those of `palette.py`.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import gradio as gr

css_path = Path(__file__).with_name("style.css")


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
