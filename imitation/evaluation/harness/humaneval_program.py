"""The program that decides a HumanEval answer: the code in what a model wrote, and the tests.

Base models continue the prompt; chat models write the function again or its body, between fences
or words, with examples, tests or a first draft. Candidates are tried as Python: what parses and
defines the function is taken, else what parses as its body.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imitation.evaluation.thinking import without_thoughts
from imitation.reading.text import lines_of

_ENDS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where lm-eval's humaneval ends a continuation."""
_LONGEST = 400
"""Lines of a candidate that are looked at."""

_FENCE = re.compile(
    r"^(?P<indent>[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<mark>`{3,}|~{3,})[ \t]*"
    r"\{?\.?(?P<tag>[\w+#.-]*)[^\n`]*\n(?P<code>.*?)(?:^[ \t]*(?P=mark)|\Z)",
    re.DOTALL | re.MULTILINE,
)
_BEGINNING = re.compile(r"[ \t]*(?:from|import|def|class|async|@|[A-Za-z_]\w*[ \t]*[:=])")
_PROMPTED = re.compile(r"^[ \t]*(?:>>>|\.\.\.)(?: |$)(.*)", re.MULTILINE)
_GLUED = re.compile(r"(?<=[^\s`~>])(`{3,})[ \t]*$", re.MULTILINE)
"""A fence that ends in the last line of the code."""
_NBSP = re.compile(r"^[ \t]*\u00a0[ \t\u00a0]*", re.MULTILINE)
"""Indentation copied from a web page."""
_END = re.compile(r"<\|(?:im_end|eot_id|end|endoftext|end_of_text)\|>.*\Z|</s>\s*\Z", re.DOTALL)
"""Tokens that end an answer, where a server shows them."""
_FUTURE = re.compile(r"^[ \t]*from __future__ import [^\n]*\n?", re.MULTILINE)


def program(problem: Mapping[str, Any], answer: str) -> str:
    """The program whose run decides: prompt, answer, tests.

    Of a whole function only what it needs is taken along (imports, helpers, constants): the model's
    own tests, examples and main part don't run. The last of several versions counts.
    """
    code = _code(str(problem["prompt"]), str(problem["entry_point"]), answer)
    return f"{code}\n\n{problem['test']}\ncheck({problem['entry_point']})\n"


def _code(prompt: str, name: str, answer: str) -> str:
    text = without_thoughts(answer.replace("\r\n", "\n").replace("\r", "\n"))
    text = _NBSP.sub(lambda found: found[0].replace("\u00a0", " "), text.lstrip("\ufeff\u200b"))
    text = _FUTURE.sub("", _GLUED.sub(r"\n\1", _END.sub("", text)))
    blocks = list(_blocks(text))
    # The function between fences, the last version first; then in the text as it is.
    for place in range(len(blocks) - 1, -1, -1):
        if (tree := _module(blocks[place], name)) is not None:
            helpers = [t for block in blocks[:place] if (t := _parsed(block)) is not None]
            whole = [statement for t in (*helpers, tree) for statement in t.body]
            return _after(prompt, _needed(whole, name))
    if (tree := _module(text, name)) is not None:
        return _after(prompt, _needed(tree.body, name))
    bodies = [body for block in (*blocks, text) if (body := _body(prompt, block))]
    return prompt + next(iter(bodies), "")


def _after(prompt: str, code: str) -> str:
    """What the prompt defines before the function (imports, earlier functions) stays."""
    return f"{prompt}    pass\n\n{code}"


def _blocks(text: str) -> Iterator[str]:
    """Code between fences, those of other languages left out."""
    for match in _FENCE.finditer(text):
        tag = match["tag"].lower()
        if not tag or tag.startswith("py") or tag in ("code", "ipython"):
            # In a list everything is indented by the width of its mark.
            depth = len(match["indent"].expandtabs(4))
            lines = lines_of(match["code"])
            inside = all(line[:depth].isspace() for line in lines if line.strip()) if depth else 0
            yield "\n".join(line[depth:] if inside else line for line in lines)


def _module(text: str, name: str) -> ast.Module | None:
    """The code in a text that defines the function, None where none does.

    From each line that may begin it, as many lines as are Python; the first that has it. Of the
    versions of a text the one with the most lines.
    """
    if name not in text:
        return None
    found = [part for version in _versions(text) if (part := _defining(version, name))]
    return _parsed(max(found, key=lambda part: part.count("\n"), default=""))


def _defining(text: str, name: str) -> str:
    lines = lines_of(text)[:_LONGEST]
    for start in (at for at, line in enumerate(lines) if _BEGINNING.match(line)):
        rest = textwrap.dedent("\n".join(lines[start:]))
        part = _longest(lines_of(rest), "")
        tree = _parsed(part)
        if tree is not None and _definition(tree.body, name):
            return part
    return ""


def _versions(text: str) -> Iterator[str]:
    """A text as it is; with spaces for tabs; the lines typed at an interpreter's prompt."""
    yield text
    yield _indented_by_lines(text)
    if "\t" in text:
        yield text.expandtabs(4)
    if typed := _PROMPTED.findall(text):
        yield "\n".join(typed)


def _indented_by_lines(text: str) -> str:
    """An indented function out of the words around it: lines at the margin are left out."""
    return "\n".join(line for line in lines_of(text) if not line.strip() or line[0].isspace())


def _longest(lines: Sequence[str], before: str) -> str:
    """The longest beginning, in lines, that is Python after `before`; "" for none."""
    for count in range(min(len(lines), _LONGEST), 0, -1):
        if lines[count - 1].strip():
            part = "\n".join(lines[:count])
            if _compiles(before + part + "\n"):
                return part
    return ""


def _body(prompt: str, text: str) -> str:
    """The function's body, indented as it must be; "" where the text is none.

    As it is (cut where lm-eval ends a continuation), with its first line indented again, indented
    as a whole, or from its first indented line, with or without the words before it: whichever has
    the most lines that are Python.
    """
    cut = text[: min((at for end in _ENDS if (at := text.find(end)) >= 0), default=len(text))]
    lines = lines_of(text.strip("\n"))
    inside = next((n for n, line in enumerate(lines) if line[:1].isspace() and line.strip()), 0)
    versions = [
        cut if cut.lstrip("\n")[:1].isspace() else "",
        "    " + cut.lstrip(),
        textwrap.indent(textwrap.dedent("\n".join(lines)), "    "),
        textwrap.indent(textwrap.dedent("\n".join(lines[inside:])), "    "),
        _first_indented(lines),
    ]
    _, parted, rest = text.strip("\n").partition("\n\n")
    behind = rest.strip("\n")
    if parted and not behind[:1].isspace():  # words, then the body
        versions += [textwrap.indent(behind, "    "), _first_indented(lines_of(behind))]
    found = [
        _longest(lines_of(version), prompt)
        for one in versions
        for version in ((one, one.expandtabs(4)) if "\t" in one else (one,))
    ]
    return max(found, key=lambda part: len(part.split("\n")) if part else 0)


def _first_indented(lines: Sequence[str]) -> str:
    """A body whose first line has lost its indent: that of the lines at the body's margin."""
    depths = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    first = " " * min(depths, default=0) + lines[0].lstrip() if lines else ""
    return textwrap.indent(textwrap.dedent("\n".join([first, *lines[1:]])), "    ")


def _compiles(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in the model's strings
            compile(code, "answer", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _parsed(code: str) -> ast.Module | None:
    if not code or not _compiles(code):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _definition(body: Sequence[ast.stmt], name: str) -> ast.stmt | None:
    """The last statement that defines a name, at the top or as a method of a class."""
    found = None
    for statement in body:
        method = isinstance(statement, ast.ClassDef) and any(
            isinstance(one, ast.FunctionDef) and one.name == name for one in statement.body
        )
        if name in _bound(statement) or method:
            found = statement
    return found


def _needed(body: Sequence[ast.stmt], name: str) -> str:
    """The function with all it needs, as code; a method of a class gets the function's name."""
    last = _definition(body, name)
    extra = ""
    wanted = {name}
    if isinstance(last, ast.ClassDef) and last.name != name:
        wanted = {last.name}
        extra = f"\n{name} = {_method(last, name)}"
    kept = {at for at, one in enumerate(body) if "*" in _bound(one)}  # from math import *
    while True:
        found = {at for at, one in enumerate(body) if at not in kept and wanted & _bound(one)}
        if not found:
            break
        kept |= found
        wanted |= {
            one.id for at in found for one in ast.walk(body[at]) if isinstance(one, ast.Name)
        }
    chosen = ast.Module([body[at] for at in sorted(kept)], [])
    return ast.unparse(ast.fix_missing_locations(chosen)) + extra


def _method(owner: ast.ClassDef, name: str) -> str:
    """How a method is reached without an instance at hand."""
    found = next(one for one in owner.body if isinstance(one, ast.FunctionDef) and one.name == name)
    plain = not found.args.args or found.args.args[0].arg not in ("self", "cls")
    return f"{owner.name}.{name}" if plain else f"{owner.name}().{name}"


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a statement gives a value, or adds to (`f.cache = {}`)."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(one.asname or one.name).partition(".")[0] for one in statement.names}
    if isinstance(statement, ast.Expr | ast.Assert) or _is_main(statement):
        return set()
    names = set()
    for one in ast.walk(statement):
        if isinstance(one, ast.Name | ast.Attribute | ast.Subscript) and isinstance(
            one.ctx, ast.Store
        ):
            root: ast.expr = one
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            names |= {root.id} if isinstance(root, ast.Name) else set()
        elif isinstance(one, ast.FunctionDef | ast.ClassDef):
            names.add(one.name)
        elif isinstance(one, ast.Import | ast.ImportFrom):
            names |= {(each.asname or each.name).partition(".")[0] for each in one.names}
    return names


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)
