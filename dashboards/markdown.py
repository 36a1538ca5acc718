"""Answers as safe HTML: Markdown and code, no script, no remote loads, no raw HTML."""

from __future__ import annotations

import logging
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
from pygments.util import ClassNotFound

log = logging.getLogger(__name__)
_INLINE = {"a", "br", "code", "em", "s", "span", "strong"}
_BLOCKS = {"blockquote", "div", "hr", "li", "ol", "p", "pre", "ul"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_TABLES = {"table", "tbody", "td", "th", "thead", "tr"}
_TAGS = _INLINE | _BLOCKS | _HEADINGS | _TABLES
_ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "div": {"class"}, "ol": {"start"}}
# Longer answers are shown as plain text: rendering is repeated many times while streaming.
_LONGEST = 60_000


def _code(content: str, language: str, _attributes: str) -> str:
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    return str(highlight(content, lexer, HtmlFormatter(nowrap=True)))


def _image(
    self: RendererHTML, tokens: list[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """An image becomes a link to it, so that opening an answer loads nothing."""
    token = tokens[index]
    source = nh3.clean(str(token.attrs.get("src", "")), tags=set()).replace('"', "%22")
    label = escape(token.content or "image")
    return f'<a href="{source}">[image: {label}]</a>'


def _renderer() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "highlight": _code})
    markdown.enable(["table", "strikethrough"])
    markdown.add_render_rule("image", _image)
    return markdown


_MARKDOWN = _renderer()


@lru_cache(maxsize=256)
def render(text: str) -> str:
    """`text` (Markdown as a model wrote it) as HTML that is safe to put into the page."""
    if len(text) > _LONGEST:
        return f'<div class="lab-plain">{escape(text)}</div>'
    try:
        html = _MARKDOWN.render(text)
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


def plain(text: str) -> str:
    """`text` escaped, for everything that is not an answer."""
    return escape(text)
