"""Words in colour can be read on the ground of either theme."""

from __future__ import annotations

import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")

from napari.utils.theme import get_theme

from volumen.plugin import colors


def luminance(color: str) -> float:
    """Relative luminance of ``#rrggbb``, as WCAG 2 defines it."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def as_long_hex(color: str) -> str:
    digits = color.removeprefix("#")
    return "#" + (digits if len(digits) == 6 else "".join(2 * digit for digit in digits))


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", ["BAD", "DOUBTFUL", "GOOD", "GOING"])
def test_a_color_stands_out_from_the_ground(theme: str, name: str) -> None:
    grounds = (as_long_hex(getattr(get_theme(theme), part).as_hex()) for part in ("background", "foreground"))
    for ground in grounds:
        low, high = sorted((luminance(ground), luminance(getattr(colors, name))))
        assert (high + 0.05) / (low + 0.05) >= 2.8, "WCAG asks 3 of large text; both themes leave no room for more"
