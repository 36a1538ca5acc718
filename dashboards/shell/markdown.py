"""Answers as safe HTML: Markdown and code, no script, no remote loads, no raw HTML."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

log = logging.getLogger(__name__)
_INLINE = {"a", "br", "code", "em", "s", "span", "strong"}
_BLOCKS = {"blockquote", "div", "hr", "li", "ol", "p", "pre", "ul"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_TABLES = {"table", "tbody", "td", "th", "thead", "tr"}
_TAGS = _INLINE | _BLOCKS | _HEADINGS | _TABLES
_ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "div": {"class"}, "ol": {"start"}}
# Rendering is repeated many times while an answer streams, in the page's event loop, so its work is
# bounded for any text. markdown-it takes time in proportion to the text, brackets costing most and
# a table filling its rows with empty cells; what exceeds a limit is shown as plain text.
MOST_CHARACTERS = 30_000
MOST_BRACKETS = 2_000
MOST_CELLS = 20_000
# Lexers match by regular expressions, some of which take the square or the cube of a text's length:
# they get little at once (a string over the seam loses its colour), and little of an answer.
CODE_PIECE = 2_000
MOST_CODE = 6_000
# Of Pygments' lexers those that were tried with repetitive text; C#, make and others took minutes.
LANGUAGES = frozenset(
    """bash c clojure console cpp css dart diff dockerfile elixir go graphql haskell html ini java
    javascript js json jsx julia kotlin latex lisp lua matlab nginx objective-c ocaml perl php
    powershell py pycon python python3 r rb rs ruby rust scala scss sh shell sql swift tex toml ts
    typescript vbnet xml yaml yml""".split()  # noqa: SIM905
)


@lru_cache(maxsize=256)
def _code(content: str, language: str, _attributes: str) -> str:
    if language.lower() not in LANGUAGES:
        return ""
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    html = [str(highlight(piece, lexer, HtmlFormatter(nowrap=True))) for piece in _pieces(content)]
    # The formatter ends each piece with a line end, also one cut in mid-line.
    return "".join(
        part if piece.endswith("\n") else part.removesuffix("\n")
        for part, piece in zip(html, _pieces(content), strict=True)
    )


def _pieces(code: str) -> Iterator[str]:
    """Code cut at line ends, where it has some, into pieces of at most CODE_PIECE characters."""
    while len(code) > CODE_PIECE:
        at = code.rfind("\n", 0, CODE_PIECE) + 1 or CODE_PIECE
        yield code[:at]
        code = code[at:]
    yield code


def _image(
    self: RendererHTML, tokens: list[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """An image becomes a link to it, so that opening an answer loads nothing."""
    token = tokens[index]
    source = nh3.clean(str(token.attrs.get("src", "")), tags=set()).replace('"', "%22")
    label = escape(token.content or "image")
    return f'<a href="{source}">[image: {label}]</a>'


def _is_absolute(self: MarkdownIt, url: str) -> bool:
    """Links of answers lead elsewhere; a relative one or a bare hash would lead into the app."""
    return url.lower().startswith(("http://", "https://", "mailto:"))


def _renderer() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "highlight": _code})
    markdown.enable(["table", "strikethrough"])
    markdown.validateLink = _is_absolute.__get__(markdown)  # type: ignore[method-assign]
    markdown.add_render_rule("image", _image)
    return markdown


_MARKDOWN = _renderer()


@lru_cache(maxsize=256)
def render(text: str) -> str:
    """`text` (Markdown as a model wrote it) as HTML that is safe to put into the page."""
    if len(text) > MOST_CHARACTERS or text.count("[") > MOST_BRACKETS or _cells(text) > MOST_CELLS:
        return f'<div class="lab-plain">{escape(text)}</div>'
    try:
        tokens = _MARKDOWN.parse(text)
        left = MOST_CODE
        for token in tokens:
            if token.type == "fence" and len(token.content) > left:
                token.info = ""
            elif token.type == "fence":
                left -= len(token.content)
        html = str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))
    except Exception:  # the renderer's fault must not cost the answer
        log.exception("an answer of %s characters could not be rendered", len(text))
        return f'<div class="lab-plain">{escape(text)}</div>'
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _cells(text: str) -> int:
    """Cells that a table could come to: every line may be a row of as many as its head has."""
    widths = [line.count("|") for line in text.split("\n")]
    return max(widths) * len(widths)


def plain(text: str) -> str:
    """`text` escaped, for everything that is not an answer."""
    return escape(text)
