"""CSV that people download: no text of a visitor or a file becomes a formula."""

import ast
import csv
import io
from pathlib import Path

import pytest

from imitation.spreadsheet import csv_text

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "text",
    [
        "=HYPERLINK(\"http://x\",\"a\")", "+cmd|'/C calc'!A0", "-2+3+cmd|x", "@SUM(1)",
        "\t=1", "\n=1",
        " =A1", "\uff1dA1", "-A1", "=1+1",
    ],
)  # fmt: skip
def test_formulas_are_text(text):
    ((cell, other),) = csv.reader(io.StringIO(csv_text([[text, "x"]]), newline=""))
    assert (cell, other) == (f"'{text}", "x")


def test_numbers_and_missing_values_stay():
    row = [-1.5, 3, None, "-1.5", "+2 [-3, 4]", "-", "1e-05", "-2.5E+3", "nan", "a=b", "", True]
    ((*cells,),) = csv.reader(io.StringIO(csv_text([row])))
    assert cells == ["" if cell is None else str(cell) for cell in row]


@pytest.mark.slow
def test_nobody_writes_csv_another_way():
    found = [
        str(path.relative_to(ROOT))
        for top in ("imitation", "training", "dashboards")
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and (node.attr in ("writer", "DictWriter") and getattr(node.value, "id", "") == "csv")
    ]
    assert found == ["imitation/spreadsheet.py"]
