"""Code found in what models write: all canonical solutions in every shape score 1."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from imitation.errors import UserError
from imitation.evaluation.harness.humaneval_problems import problems
from imitation.evaluation.harness.humaneval_program import program
from imitation.evaluation.sandbox.execute import Limits, missing_walls, run
from imitation.evaluation.thinking import without_thoughts
from imitation.settings import read_settings

Problem = Mapping[str, Any]
DRAFT = (
    "Let me think. Perhaps\n```python\ndef {name}(*args):\n    return None\n```\nNo, that is wrong."
)


def whole(one: Problem) -> str:
    """The function as a chat model writes it again, docstring and imports included."""
    return str(one["prompt"]).rstrip() + "\n" + str(one["canonical_solution"]).strip("\n")


def body(one: Problem) -> str:
    return str(one["canonical_solution"]).strip("\n")


def dedented(one: Problem) -> str:
    return textwrap.dedent(body(one))


def lost_first(one: Problem) -> str:
    return body(one).lstrip()


def draft(one: Problem) -> str:
    return DRAFT.format(name=one["entry_point"])


def fenced(code: str, tag: str = "python", mark: str = "```") -> str:
    return f"{mark}{tag}\n{code}\n{mark}\n"


def method(one: Problem) -> str:
    """The function as a method of `class Solution`, what stands before it outside."""
    tree = ast.parse(whole(one))
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == one["entry_point"]:
            statement.args.args.insert(0, ast.arg("self"))
            tree.body[tree.body.index(statement)] = ast.ClassDef(
                "Solution", [], [], [statement], []
            )
    return ast.unparse(ast.fix_missing_locations(tree))


def typed(one: Problem) -> str:
    lines = whole(one).splitlines()
    return "\n".join([f">>> {lines[0]}", *(f"... {line}" for line in lines[1:])])


def tabbed(code: str) -> str:
    lines = code.splitlines()
    depth = [len(line) - len(line.lstrip(" ")) for line in lines]
    return "\n".join(
        "\t" * (n // 4) + " " * (n % 4) + line.lstrip(" ")
        for n, line in zip(depth, lines, strict=True)
    )


def unbroken(code: str) -> str:
    return re.sub(r"(?m)^ +", lambda found: "\u00a0" * len(found[0]), code)


def halved(code: str) -> str:
    """Indented by two spaces where the problems have four."""
    return re.sub(r"(?m)^ +", lambda found: " " * (len(found[0]) // 2), code)


SHAPES: dict[str, Callable[[Problem], str]] = {
    "continuation": lambda one: str(one["canonical_solution"]),
    "continuation goes on": lambda one: str(one["canonical_solution"]) + "\n\ndef other():\n  ret",
    "plain": lambda one: whole(one),
    "words around": lambda one: f"Sure! Here it is:\n\n{whole(one)}\n\nThis works, doesn't it?",
    "words that begin like code": lambda one: (
        f"From the examples we see this:\nimport what you need.\n\n{whole(one)}\n\nThat's all."
    ),
    "no tag": lambda one: fenced(whole(one), ""),
    "python": lambda one: "Here:\n\n" + fenced(whole(one)) + "\nIt loops over all.",
    "python3": lambda one: fenced(whole(one), "python3"),
    "PYTHON": lambda one: fenced(whole(one), "PYTHON"),
    "py": lambda one: fenced(whole(one), "py"),
    "title": lambda one: fenced(whole(one), 'python title="a.py"'),
    "attribute": lambda one: fenced(whole(one), "{.python .numberLines}"),
    "bash before": lambda one: fenced("pip install numpy", "bash") + fenced(whole(one)),
    "json before": lambda one: fenced('{"a": [1, 2]}', "json") + "Then:\n" + fenced(whole(one)),
    "output after": lambda one: fenced(whole(one)) + "prints\n" + fenced("True\nFalse", "text"),
    "usage after": lambda one: (
        fenced(whole(one)) + "Use it so:\n" + fenced(f"print({one['entry_point']}(wrong))")
    ),
    "in a list": lambda one: "1. So:\n\n" + textwrap.indent(fenced(whole(one)), "   ") + "2. Run",
    "on a bullet": lambda one: "- " + textwrap.indent(fenced(whole(one)), "  ").lstrip(),
    "tildes": lambda one: fenced(whole(one), mark="~~~"),
    "four marks": lambda one: fenced(whole(one), mark="````"),
    "closed in the last line": lambda one: f"```python\n{whole(one).rstrip()}```\nThat is it.",
    "thought in square brackets": lambda one: f"[THINK]{draft(one)}[/THINK]\n{fenced(whole(one))}",
    "a mark before": lambda one: "\ufeff" + str(one["canonical_solution"]),
    "indented by no-break spaces": lambda one: fenced(unbroken(whole(one))),
    "an end's token": lambda one: body(one) + "<|im_end|>\n",
    "words, body dedented": lambda one: f"The body:\n\n{dedented(one)}\n\nHope this helps!",
    "words, body, first line": lambda one: f"The body:\n\n{lost_first(one)}",
    "two spaces, first line at the margin": lambda one: halved(body(one)).lstrip(),
    "not closed": lambda one: f"Here:\n```python\n{whole(one)}",
    "thought": lambda one: f"<think>\n{draft(one)}\n</think>\n\n" + fenced(whole(one)),
    "thought, opened before": lambda one: f"{draft(one)}\n</think>\n\n{whole(one)}",
    "thought, continuation": lambda one: (
        f"<think>\n{draft(one)}\n</think>\n{one['canonical_solution']}"
    ),
    "draft, then final": lambda one: f"{draft(one)}\nFinally:\n" + fenced(whole(one)),
    "future": lambda one: fenced("from __future__ import annotations\n" + whole(one)),
    "future, no fence": lambda one: "from __future__ import annotations\n\n" + whole(one),
    "indented": lambda one: textwrap.indent(whole(one), "    "),
    "indented, words around": lambda one: f"So:\n\n{textwrap.indent(whole(one), '    ')}\n\nDone.",
    "method": lambda one: method(one),
    "method, fenced": lambda one: fenced(method(one)),
    "imports above": lambda one: fenced("import os, sys\nimport not_there\nK = 3\n" + whole(one)),
    "tests after": lambda one: fenced(f"{whole(one)}\n\nassert {one['entry_point']}(1, 2) == 4"),
    "main guard": lambda one: fenced(
        whole(one) + "\n\nif __name__ == '__main__':\n    import sys\n    sys.exit(1)"
    ),
    "doctest after": lambda one: f"{whole(one)}\n\n>>> {one['entry_point']}(1)\n2\n",
    "typed at the prompt": lambda one: fenced(typed(one), "pycon"),
    "windows": lambda one: fenced(whole(one)).replace("\n", "\r\n"),
    "tabs": lambda one: fenced(tabbed(whole(one))),
    "body, fenced": lambda one: fenced(body(one)),
    "body, tabs": lambda one: tabbed(body(one)),
    "body, words after": lambda one: f"{body(one)}\n\nThis is what the examples want.",
    "body dedented": lambda one: dedented(one),
    "body dedented, fenced": lambda one: "The body:\n" + fenced(dedented(one)),
    "body, first line at the margin": lambda one: lost_first(one),
    "body, first line at the margin, fenced": lambda one: fenced(lost_first(one)),
    "body, first line, and more": lambda one: lost_first(one) + "\n\n\nprint(1",
}  # fmt: skip


@cache
def humaneval() -> Sequence[Problem]:
    try:
        return problems(read_settings())
    except UserError as error:
        pytest.skip(f"HumanEval's problems cannot be had here: {error}")


def failing(programs: Mapping[str, str]) -> list[str]:
    """Those of the programs that fail, all run in one process behind the walls."""
    code = f"""
failed = []
for name, text in {dict(programs)!r}.items():
    try:
        exec(compile(text, name, 'exec'), {{'__name__': '__main__'}})
    except BaseException as error:
        failed.append(name)
assert not failed, failed
"""
    limits = Limits(cpu_s=120, wall_s=300.0)
    outcome = run(code, limits, all_walls=False)
    return [] if outcome.passed else [outcome.how, outcome.detail]


@pytest.fixture(scope="module")
def passing() -> set[str]:
    """Programs that were run and passed, as Python sees them."""
    return set()


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_walls()), reason="the sandbox lacks a wall here")
@pytest.mark.parametrize("shape", SHAPES)
def test_every_solution_scores_in_every_shape(shape: str, passing: set[str]) -> None:
    programs = {one["task_id"]: program(one, SHAPES[shape](one)) for one in humaneval()}
    assert len(programs) == 164
    # Most shapes come to the same program, which need not be run again.
    trees = {task: ast.dump(ast.parse(text)) for task, text in programs.items()}
    new = {task: text for task, text in programs.items() if trees[task] not in passing}
    assert not new or not failing(new)
    passing |= set(trees.values())


@pytest.mark.skipif(bool(missing_walls()), reason="the sandbox lacks a wall here")
@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no " * 400,
        "I cannot help with that.",
        "<think>\n{whole}",
        "```python\ndef {name}(*args):\n    return None\n```",
        "{whole}\n\nNo, rather:\n```python\ndef {name}(*args):\n    return None\n```",
        "```python\ndef {name}(\n```",
    ],
)
def test_what_is_no_solution_does_not_pass(answer: str) -> None:
    one = humaneval()[0]
    text = answer.format(whole=whole(one), name=one["entry_point"])
    assert not run(program(one, text), all_walls=False).passed


def test_helpers_constants_and_caches_come_along() -> None:
    answer = """```python
from functools import lru_cache
from math import *
try:
    import no_such_module as fast
except ImportError:
    fast = None
LIMIT = floor(2.5)

def helper(x):
    return x * LIMIT
```
and
```python
@lru_cache
def f(x):
    return helper(x) + f.more if fast is None else 0

f.more = 1
print(f(no_such_name))
```"""
    one = {"prompt": "def f(x):\n    ''' Twice and one. '''\n", "entry_point": "f",
           "test": "def check(f):\n    assert f(3) == 7"}  # fmt: skip
    exec(compile(program(one, answer), "program", "exec"), {})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("8 6", "8 6"),
        ("<think>first 1 2</think>8 6", "8 6"),
        ("<think>a</think> b <THINK>c</THINK> d", " d"),
        ("no opening tag\n</think>\nthen", "\nthen"),
        ("said\n<think>cut off", "said\n"),
        ("the tag `<think>` is named in a line", "the tag `<think>` is named in a line"),
        ("[THINK]a[/THINK] b", " b"),
        ("<reasoning>x</reasoning>\nA", "\nA"),
    ],
)
def test_thoughts_are_taken_off(text: str, left: str) -> None:
    assert without_thoughts(text) == left
