import re

import pytest

from dashboards.components import ColumnView, column_html, notice_html, sent_html
from dashboards.markdown import plain, render
from imitation.values import Answer, Message, Sent

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/a.png)",
    "![x](javascript:alert(1))",
    "[a](javascript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    '[a](https://x.example "onmouseover=alert(1)")',
    "<iframe src=https://evil.example></iframe>",
    "<svg onload=alert(1)>",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "`<b onclick=x>`",
    "<style>@import url(https://evil.example)</style>",
    "[x]: https://evil.example/a.png\n![y][x]",
    "\"' onload='x",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_an_answer_runs_or_loads(text: str) -> None:
    view = ColumnView(
        "Base",
        text,
        text,
        "base",
        text=text,
        state="done",
        error=(text, text),
        fact=(False, text),
        meta=[text],
        sent=sent_html(Answer(sent=Sent(text, text, text, (Message("user", text),)))),
    )
    for html in (render(text), column_html(view), notice_html([text])):
        tags = re.findall(r"<\s*([a-zA-Z]+)", html)
        assert not set(tags) & {"script", "img", "iframe", "svg", "style", "b"}, html
        for tag in re.findall(r"<[^>]*>", html):
            bare = re.sub(r'"[^"]*"', '""', tag)
            assert not re.search(r"\son\w+\s*=", bare), tag
            assert not re.search(r"\ssrc\s*=", bare), tag
            if href := re.search(r'href="([^"]*)"', tag):
                assert href[1].startswith(("http://", "https://", "mailto:")), tag


def test_an_image_becomes_a_link() -> None:
    assert render("![a cat](https://x.example/c.png)").startswith(
        '<p><a href="https://x.example/c.png"'
    )
    assert "[image: a cat]" in render("![a cat](https://x.example/c.png)")


def test_markdown_code_and_tables_are_shown() -> None:
    html = render("# T\n\n1. **a**\n2. b\n\n|x|y|\n|-|-|\n|1|2|\n\n```python\ndef f(): pass\n```")
    for piece in (
        "<h1>T</h1>",
        "<ol>",
        "<strong>a</strong>",
        "<table>",
        '<span class="k">def</span>',
    ):
        assert piece in html


def test_an_unfinished_fence_is_still_code() -> None:
    assert "<pre><code>" in render("```python\nx = 1")


def test_a_huge_answer_is_shown_as_plain_text_quickly() -> None:
    html = render("**x**<b>" * 20_000)
    assert html.startswith('<div class="lab-plain">') and "<b>" not in html


def test_plain_escapes_quotes_too() -> None:
    assert plain("\"'<&>") == "&quot;&#x27;&lt;&amp;&gt;"
