"""Built datasets are found, searched and deleted; what is none is passed over."""

import json
from pathlib import Path

import pytest

from imitation.data import library
from imitation.data.manifest import contents, write_dataset
from imitation.data.steps.sample import estimated_tokens
from imitation.errors import UserError
from imitation.values import Example, Message


def talk(number: int, question: str, answer: str, source: str = "a") -> Example:
    return Example((Message("user", question), Message("assistant", answer)), source, f"{number}")


EXAMPLES = [
    talk(0, "Name a river.", 'The "Ebro".'),
    talk(1, "Wie heißt der Fluss?", "Der RHEIN\nin Köln.", "b"),
    talk(2, "content role", "user"),
    *(talk(n, f"Question {n}", "river " * n) for n in range(3, 30)),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = {"result": contents(EXAMPLES, estimated_tokens, "estimate")}
    write_dataset(tmp_path / "one", EXAMPLES, table)
    return tmp_path


def test_datasets_are_listed_and_other_folders_are_not(folder: Path) -> None:
    (folder / ".part").mkdir()
    (folder / ".part" / "manifest.json").write_text("{}")
    (folder / "broken").mkdir()
    (folder / "broken" / "manifest.json").write_text('{"result": {"conversations": "many"}}')
    (folder / "file.jsonl").write_text("{}")
    (found,) = library.datasets(folder)
    assert (found.name, found.conversations, found.sources) == ("one", 30, ["a", "b"])
    assert library.datasets(folder / "none") == []


@pytest.mark.parametrize("name", ["../one", "one/../one", "none", "", ".", "/etc", "broken"])
def test_names_lead_nowhere_else(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match="no dataset"):
        library.open_dataset(folder, name)


def test_a_folder_stands_for_its_file(folder: Path) -> None:
    assert library.data_file(folder / "one") == folder / "one" / "data.jsonl"
    assert library.data_file(str(folder / "x.jsonl")) == folder / "x.jsonl"


def test_data_is_called_by_what_tells_most() -> None:
    for file in ("data.jsonl", "data.parquet", "answers.jsonl"):
        assert library.data_name(f"/lab/datasets/mine/{file}") == "mine"
    assert library.data_name("/lab/datasets/mine/42.jsonl") == "42.jsonl"
    assert library.data_name("/lab/datasets/mine") == "mine"


def test_pages_and_searches(folder: Path) -> None:
    one = library.open_dataset(folder, "one")
    page = library.look(one, start=25, count=10)
    assert page.total == 30
    assert [number for number, _ in page.examples] == [26, 27, 28, 29, 30]
    assert page.examples[0][1] == EXAMPLES[25]
    assert library.look(one, "river").total == 28, "Name a river and the repeated ones"
    assert [n for n, _ in library.look(one, "köln rhein").examples] == [2]
    assert [n for n, _ in library.look(one, '"ebro"').examples] == [1], "as written, not as JSON"
    assert [n for n, _ in library.look(one, "role").examples] == [3], "not JSON's own words"
    assert library.look(one, source="b").total == 1
    assert library.look(one, "nowhere").examples == ()


def test_a_changed_file_is_read_anew(folder: Path) -> None:
    one = library.open_dataset(folder, "one")
    assert library.look(one, "zzz").total == 0
    row = {"messages": [{"role": "user", "content": "zzz"}]}
    with one.jsonl.open("a") as opened:
        opened.write(json.dumps(row) + "\n")
    assert library.look(one, "zzz").total == 1


def test_delete(folder: Path) -> None:
    library.delete(library.open_dataset(folder, "one"))
    assert library.datasets(folder) == []
    assert list(folder.iterdir()) == []
