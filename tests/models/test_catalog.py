from pathlib import Path

import pytest

from imitation.errors import ConfigError, UserError
from imitation.models.catalog import load_catalog, load_lenient
from imitation.settings import read_settings
from imitation.values import ModelCard

SHIPPED = read_settings({}).catalogs[0]
GOOD = """
[[model]]
id = "gpt"
name = "ChatGPT"
role = "reference"
backend = "openai"
endpoint = "https://api.openai.com/v1"
model = "gpt-4o-mini"
api_key_env = "OPENAI_API_KEY"
"""


def write(folder: Path, text: str, name: str = "models.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_catalog([write(folder, text)])
    return caught.value.problems


def test_the_shipped_catalog_has_every_role_and_its_files() -> None:
    catalog = load_catalog([SHIPPED])
    for role in ("base", "imitation", "reference"):
        assert catalog.by_role(role), role
    for card in catalog.values():
        assert card.stand_in and "ChatGPT" not in card.name
        assert not card.adapter or Path(card.adapter).is_file()


def test_the_examples_in_the_shipped_file_are_ready_to_use(tmp_path: Path) -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if "Ready examples" in line)
    examples, block = [], []
    for line in [*lines[start:], ""]:
        text = line.lstrip("#").strip()
        if text.startswith("[[model]]") or (block and " = " in text):
            block.append(text)
        elif block:
            examples.append("\n".join(block))
            block = []
    assert len(examples) >= 5
    catalog = load_catalog([SHIPPED, write(tmp_path, "\n\n".join(examples))])
    kinds = {(card.backend, card.prompt_format) for card in catalog.values()}
    assert ("tgi", "koala") in kinds and ("openai", "chat") in kinds


def test_a_later_file_replaces_cards_by_id(tmp_path: Path) -> None:
    mine = write(tmp_path, GOOD.replace('gpt"', 'pocket-reference"', 1))
    catalog = load_catalog([SHIPPED, mine, tmp_path / "absent.toml"])
    assert catalog["pocket-reference"].name == "ChatGPT"
    assert len(catalog) == len(load_catalog([SHIPPED]))


def test_an_unknown_id_is_answered_with_near_ones() -> None:
    with pytest.raises(UserError, match="pocket-base"):
        load_catalog([SHIPPED])["pocket-bse"]
    assert "pocket-bse" not in load_catalog([SHIPPED])


def test_every_problem_is_reported_with_its_place(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
[[model]]
id = "a"
name = "A"
role = "refrence"
backend = "opnai"
[[model]]
id = "b"
nam = "B"
role = "base"
backend = "tgi"
[[model]]
id = "c"
name = "C"
role = "base"
backend = "openai"
endpoint = "https://user:pw@host/v1"
context = "long"
[[model]]
id = "c"
name = "C"
role = "base"
backend = "tgi"
endpoint = "host:80"
base = "zz"
api_key_env = "sk-1234"
""",
    )
    text = "\n".join(found)
    for expected in (
        "model 'a': role = 'refrence'. Did you mean 'reference'?",
        "model 'a': backend = 'opnai'. Did you mean 'openai'?",
        "model 'b': unknown key 'nam'. Did you mean 'name'",
        "model 'b': name is missing",
        "context = 'long' should be int",
        "the id is used twice",
        "endpoint = 'host:80' should be http(s)://",
        "never write the key itself",
    ):
        assert expected in text, (expected, text)


def test_credentials_in_an_endpoint_are_refused_and_not_repeated(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("https://api", "https://user:hunter2@api"))
    assert "api_key_env" in found[0] and "hunter2" not in found[0]


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    assert "base 'llama' is not in the catalog" in problems(tmp_path, GOOD + 'base = "llama"')[0]


@pytest.mark.parametrize(
    "text", ["[[model]\n", "\xff", "[model]\nid='a'\n", "[[modell]]\nid='a'\n", "model = 3"]
)
def test_a_broken_file_leaves_the_shipped_models(tmp_path: Path, text: str) -> None:
    path = tmp_path / "models.toml"
    path.write_bytes(text.encode("latin-1"))
    catalog, error = load_lenient([SHIPPED, path])
    assert error is not None and "models.toml" in str(error)
    assert list(catalog) == list(load_catalog([SHIPPED]))


def test_paths_of_a_card_are_relative_to_its_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[[model]]\nid="x"\nname="X"\nrole="imitation"\nbackend="embedded"\nweights="w/a.gguf"\n'
        'adapter="b.gguf"\n[[model]]\nid="y"\nname="Y"\nrole="base"\nbackend="recorded"\nfile="f.jsonl"\n',
    )
    catalog = load_catalog([path])
    assert catalog["x"].weights == str(tmp_path / "w" / "a.gguf")
    assert catalog["x"].adapter == str(tmp_path / "b.gguf")
    assert catalog["y"].file == str(tmp_path / "f.jsonl")


def test_a_card_is_a_value() -> None:
    assert ModelCard("a", "A", "base", "x") == ModelCard("a", "A", "base", "x")


def test_prices_are_dollars_and_unknown_where_left_out(tmp_path: Path) -> None:
    card = load_catalog([write(tmp_path, GOOD + "price_in = 0.15\nprice_out = 0\n")])["gpt"]
    assert (card.price_in, card.price_out) == (0.15, 0)
    assert load_catalog([write(tmp_path, GOOD)])["gpt"].price_out is None, "never 0"
    found = problems(tmp_path, GOOD + "price_in = -1\nprice_out = true\n")
    assert len(found) >= 1 and "price_out" in found[0]
    assert "dollars per million" in problems(tmp_path, GOOD + "price_in = -1\n")[0]
