"""Lines of files that could not be read, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.shell.markdown import plain
from imitation.values import Refused

SHOWN_REFUSED = 100


def refused_html(refused: Sequence[Refused]) -> str:
    """Lines left out, as a table; "" where there are none."""
    if not refused:
        return ""
    count = len(refused)
    caption = "1 line was left out" if count == 1 else f"{count:,} lines were left out"
    if count > SHOWN_REFUSED:
        caption += f", the first {SHOWN_REFUSED} of them"
    rows = "".join(
        f'<tr><th scope="row">{plain(r.file)}</th><td>{r.line or "whole file"}</td>'
        f"<td>{plain(r.reason)}</td></tr>"
        for r in refused[:SHOWN_REFUSED]
    )
    return (
        f'<div class="lab-scroll lab-refused" tabindex="0" role="region" aria-label="{caption}">'
        f'<table class="lab-table"><caption>{caption}</caption><thead><tr>'
        '<th scope="col">File</th><th scope="col">Line</th><th scope="col">Why</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
