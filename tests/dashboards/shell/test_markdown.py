import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape

import pytest

from dashboards.shell import markdown
from dashboards.shell.components import ColumnView, column_html, notice_html, sent_html
from dashboards.shell.markdown import plain, render
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


@pytest.mark.parametrize("url", ["#b", "data", "/votes", "?open=x", "//h.example", "./", "g:x"])
def test_a_link_of_an_answer_never_leads_into_the_app(url: str) -> None:
    for text in (f"[a]({url})", f"![a]({url})", f"[a]: {url}\n\n[a]", f"<a href={url}>a</a>"):
        assert "href" not in render(text).replace("&lt;a href", "")


# What makes parsers of Markdown slow: unclosed and nested openers, and blocks in great numbers.
REPEATED = [
    "[a](b ", "[a](<b", "[", "![", "[](", "[a][b", "[a\n", "[a]: b\n", '[a](b "', "[a]((", "[]()",
    "*a ", "*a **a ", "_a __a ", "*_", "**a* ", "a_b", "~~a ", "~~a~~", "*[a](b)*", "`a``b", "<",
    "<a ", "<http:", "&a", "&#", "!", "\\", "\\\n", ">", "> ", "> - ", "- ", "- a\n", "1. ",
    "a\n", "a  \n", "a\n=\n", "# a\n", "***\n", "```\n", "~~~\na\n", "<div>\n", "    a\n", "|",
    "|a|\n", "\t",
]  # fmt: skip
SHAPED: dict[str, Callable[[int], str]] = {
    "nested brackets": lambda n: "[" * (n // 2) + "]" * (n // 2),
    "nested stars": lambda n: "*" * (n // 2) + "a" + "*" * (n // 2),
    "runs of backticks": lambda n: " ".join("`" * k for k in range(1, int((2 * n) ** 0.5))),
    "nested lists": lambda n: "".join("  " * k + "- a\n" for k in range(int(n**0.5))),
    "nested quotes": lambda n: "".join(">" * (k % 100) + "a\n" for k in range(n // 50)),
    "lazy lines": lambda n: "> a\n" + "a\n" * (n // 2),
    "a wide table": lambda n: "|a" * (n // 4) + "|\n" + "|-" * (n // 4) + "|\n" + "a\n" * (n // 8),
    "a table of many rows": lambda n: "|a|b|\n|-|-|\n" + "|\n" * (n // 2),
}
PATTERNS = {repr(p): lambda n, p=p: (p * (n // len(p) + 1))[:n] for p in REPEATED} | SHAPED


@contextmanager
def counted() -> Iterator[list[int]]:
    """Calls of Python's and C's functions while inside: the work, whatever the machine does."""
    calls = [0]

    def count(frame: object, event: str, argument: object) -> None:
        calls[0] += event.endswith("call")

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def work(text: str) -> int:
    render.cache_clear()
    markdown._code.cache_clear()
    with counted() as calls:
        render(text)
    return calls[0]


@pytest.mark.parametrize("name", PATTERNS)
def test_the_work_of_rendering_grows_with_the_text_at_most(name: str) -> None:
    make = PATTERNS[name]
    once, twice = work(make(1500)), work(make(3000))
    assert twice <= 2.5 * once + 2000
    assert twice <= 3000 * 300, "calls a character"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["'[a](b '", "'- a\\n'", "'a\\n'", "a wide table"])
def test_the_longest_text_is_bounded_too(name: str) -> None:
    longest = markdown.MOST_CHARACTERS
    assert work(PATTERNS[name](longest)) < 2_500_000
    assert work(PATTERNS[name](2 * longest)) < 1000, "shown as it is"


@pytest.mark.parametrize("language", ["python", "markdown", "csharp", "java", "no-such"])
@pytest.mark.parametrize("piece", ["a (b ", "a\n", "x" * 99, "\n\n\n", "def f(): pass\n"])
def test_little_code_is_coloured_at_once_and_in_all(
    language: str, piece: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = markdown.highlight

    def spy(code: str, *rest: object) -> str:
        seen.append(code)
        return str(real(code, *rest))

    monkeypatch.setattr(markdown, "highlight", spy)
    render.cache_clear()
    markdown._code.cache_clear()
    code = (piece * 2000)[:5000]
    html = render("\n\n".join(f"```{language}\n{code}\n```" for _ in range(5)))
    assert all(len(code) <= markdown.CODE_PIECE for code in seen)
    assert sum(map(len, seen)) <= markdown.MOST_CODE
    assert bool(seen) == (language in markdown.LANGUAGES)
    shown = re.findall(r"<pre><code>(.*?)</code></pre>", html, re.DOTALL)
    bare = [unescape(re.sub(r"<[^>]*>", "", block)) for block in shown]
    assert bare == [code + "\n"] * 5, "every character is shown, coloured or not"


def test_every_language_that_is_coloured_is_known() -> None:
    for language in sorted(markdown.LANGUAGES):
        assert "<pre><code>" in render(f"```{language}\nx = 1\n```")
        assert markdown._code("x = 1 # a\n", language, "")
