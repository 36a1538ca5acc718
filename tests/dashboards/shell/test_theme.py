import re

import pytest

from dashboards.shell.palette import DARK, LIGHT, Palette, contrast
from dashboards.shell.theme import css_path, theme

TEXT = ("ink", "soft", "base", "imitation", "reference", "good", "bad")
ROLES = ("base", "imitation", "reference")
CSS = css_path.read_text(encoding="utf-8")


def variables(selector: str) -> dict[str, str]:
    block = re.search(rf"^{re.escape(selector)} \{{(.*?)^\}}", CSS, re.S | re.M)
    assert block, f"{selector} is not in style.css"
    return dict(re.findall(r"--lab-(\w+): (#[0-9a-f]{6});", block[1]))


@pytest.mark.parametrize(("selector", "palette"), [(":root", LIGHT), (".dark", DARK)])
def test_style_sheet_and_palette_hold_the_same_colours(selector: str, palette: Palette) -> None:
    assert variables(selector) == dict(palette.items())


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", TEXT)
def test_text_colours_are_readable(palette: Palette, name: str) -> None:
    for behind in (palette.ground, palette.card):
        assert contrast(getattr(palette, name), behind) >= 4.5


def test_contrast_has_the_ends_of_the_scale() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1


# Machado, Oliveira and Fernandes (2009), severity 1.0, applied to linear RGB.
COLOUR_BLIND = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def lab(linear: list[float]) -> tuple[float, float, float]:
    """CIE L*a*b* (D65) of linear RGB."""
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    x, y, z = (
        (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116)
        for v in (
            max(sum(k * c for k, c in zip(row, linear, strict=True)), 0) / w
            for row, w in zip(rows, white, strict=True)
        )
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour: str, matrix: tuple[tuple[float, ...], ...]) -> tuple[float, float, float]:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return lab([sum(k * c for k, c in zip(row, linear, strict=True)) for row in matrix])


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("kind", COLOUR_BLIND)
def test_roles_stay_apart_for_the_colour_blind(palette: Palette, kind: str) -> None:
    colours = [seen(getattr(palette, role), COLOUR_BLIND[kind]) for role in ROLES]
    for i, one in enumerate(colours):
        for other in colours[:i]:
            distance = sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
            assert distance > 15, f"{kind}: {distance:.1f}"


def test_theme_loads_nothing_from_elsewhere() -> None:
    made = theme()
    everything = made._get_theme_css() + CSS
    assert not made._stylesheets
    assert not re.search(r"https?://(?!www\.w3\.org/)|@import|@font-face", everything)


def test_light_and_dark_point_at_the_same_variables() -> None:
    made = theme()
    assert made.body_background_fill == made.body_background_fill_dark == "var(--lab-ground)"
    assert made.button_primary_background_fill_dark == "var(--lab-ink)"


def test_rules_inside_media_select_only_what_lies_in_the_page() -> None:
    """Gradio prefixes rules in @media with `.gradio-container .contain` and keeps no other copy."""
    for block in re.findall(r"@media[^{]*\{(.*?)\n\}", CSS, re.S):
        assert ".gradio-container" not in block
        assert "nav-holder" not in block


def test_no_side_overrides_a_border_holding_a_variable() -> None:
    """Read back through the CSSOM, such a border is lost."""
    for rule in re.findall(r"\{([^{}]*)\}", CSS):
        whole = re.search(r"(?:^|;)\s*border:[^;]*var\(", rule)
        assert not (whole and re.search(r"border-(top|right|bottom|left):", rule)), rule
