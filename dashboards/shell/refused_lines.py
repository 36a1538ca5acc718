"""Lines of files that could not be read, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dashboards.shell.templates import render
from imitation.values import Refused

SHOWN_REFUSED = 100


def refused_html(refused: Sequence[Refused]) -> Markup | str:
    """Lines left out, as a table; "" where there are none."""
    if not refused:
        return ""
    count = len(refused)
    caption = "1 line was left out" if count == 1 else f"{count:,} lines were left out"
    if count > SHOWN_REFUSED:
        caption += f", the first {SHOWN_REFUSED} of them"
    return render("shell/refused_lines.html", caption=caption, refused=refused[:SHOWN_REFUSED])
