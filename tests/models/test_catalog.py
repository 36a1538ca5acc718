from pathlib import Path

import pytest

import app
from imitation.errors import UserError
from imitation.models.catalog import load_catalog
from imitation.models.catalog_writer import as_toml
from imitation.settings import read_settings
from imitation.values import ModelSpec

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
    return list(load_catalog([write(folder, text)]).problems)


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
    catalog = load_catalog([SHIPPED, path])
    assert "models.toml" in catalog.problem
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
    assert ModelSpec("a", "A", "base", "x") == ModelSpec("a", "A", "base", "x")


def test_prices_are_dollars_and_unknown_where_left_out(tmp_path: Path) -> None:
    card = load_catalog([write(tmp_path, GOOD + "price_in = 0.15\nprice_out = 0\n")])["gpt"]
    assert (card.price_in, card.price_out) == (0.15, 0)
    assert load_catalog([write(tmp_path, GOOD)])["gpt"].price_out is None, "never 0"
    found = problems(tmp_path, GOOD + "price_in = -1\nprice_out = true\n")
    assert len(found) >= 1 and "price_out" in found[0]
    assert "dollars per million" in problems(tmp_path, GOOD + "price_in = -1\n")[0]


MALFORMED = [
    "http://[::1/v1",
    "http://h:99999/v1",
    "http://h:0/v1",
    "http://h:port/v1",
    "http://h:-1/v1",
    "http:///v1",
    "ftp://h/v1",
    "h:80",
    "",
    "http://a b/v1",
    "http://h/v1#part",
    "http://h\u200b/v1",
    "http://[fe80::zz]/v1",
    "http://xn--a\u0000/v1",
    "http://" + "a" * 300 + ".example/v1\n",
]


@pytest.mark.parametrize("endpoint", MALFORMED)
@pytest.mark.parametrize("backend", ["openai", "tgi"])
def test_a_malformed_endpoint_costs_its_own_card_only(
    tmp_path: Path, endpoint: str, backend: str
) -> None:
    bad = ModelSpec("bad", "Bad", "base", backend, endpoint=endpoint)
    catalog = load_catalog([SHIPPED, write(tmp_path, GOOD + as_toml(bad))])
    assert "gpt" in catalog and "pocket-base" in catalog and "bad" not in catalog
    assert list(catalog.broken) == ["bad"] and "endpoint" in catalog.broken["bad"]
    assert "models.toml: model 'bad'" in catalog.problem
    with pytest.raises(UserError, match="'bad' cannot be used: endpoint"):
        catalog["bad"]


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://[::1]:8000/v1",
        "https://h.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
        "http://127.0.0.1:65535",
        "http://bücher.example/v1/",
    ],
)
def test_endpoints_that_can_be_tried(tmp_path: Path, endpoint: str) -> None:
    card = ModelSpec("a", "A", "base", "openai", endpoint=endpoint)
    assert load_catalog([write(tmp_path, as_toml(card))])["a"] == card


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://u:hunter2@[::1/v1",
        "https://h/v1?api_key=hunter2",
        "https://h/v1?x=1&subscription-key=hunter2",
        "https://h/v1?code=hunter2",
    ],
)
def test_secrets_in_an_address_are_refused_and_not_repeated(tmp_path: Path, endpoint: str) -> None:
    card = ModelSpec("a", "A", "base", "openai", endpoint=endpoint)
    catalog = load_catalog([write(tmp_path, as_toml(card))])
    assert "api_key_env" in catalog.broken["a"] and "hunter2" not in catalog.problem


@pytest.mark.parametrize(
    "row",
    [
        'id = ["a"]\nname = "A"\nrole = "base"\nbackend = "tgi"',
        'id = {x = 1}\nname = "A"\nrole = "base"\nbackend = "tgi"',
        'id = "a"\nname = 3\nrole = []\nbackend = {}',
        'id = "a"\nname = "A"\nrole = "base"\nbackend = "embedded"\nweights = "whole"'
        "\nparams_b = nan",
        'id = "a"\nname = "A"\nrole = "base"\nbackend = "embedded"\nweights = "whole"\ncontext = 0',
        "",
    ],
)
def test_a_broken_card_of_any_kind_costs_itself_only(tmp_path: Path, row: str) -> None:
    catalog = load_catalog([SHIPPED, write(tmp_path, f"{GOOD}[[model]]\n{row}\n")])
    assert "gpt" in catalog and "a" not in catalog and catalog.problems and catalog.is_whole


def test_a_broken_card_does_not_fall_back_to_the_one_it_was_to_replace(tmp_path: Path) -> None:
    mine = write(tmp_path, GOOD.replace('gpt"', 'pocket-base"', 1).replace("https", "htps"))
    catalog = load_catalog([SHIPPED, mine])
    assert "pocket-base" not in catalog and "pocket-base" in catalog.broken
    assert "pocket-broad" in catalog, "it is made from the card that cannot be used, and stays"


def test_an_unknown_id_tells_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    catalog = load_catalog([SHIPPED, write(tmp_path, "[[model]\n")])
    with pytest.raises(UserError, match=r"no model 'gpt'.*models\.toml"):
        catalog["gpt"]


def test_the_app_is_built_with_a_malformed_endpoint(tmp_path: Path) -> None:
    write(tmp_path, GOOD + as_toml(ModelSpec("bad", "Bad", "base", "tgi", endpoint=MALFORMED[0])))
    settings = read_settings({"IMITATION_DATA": str(tmp_path), "IMITATION_CACHE": str(tmp_path)})
    _, context = app.build(settings)
    assert "gpt" in context.catalog() and "'bad'" in context.catalog_problem()


def test_a_byte_order_mark_is_no_fault_and_another_encoding_is_named(tmp_path: Path) -> None:
    assert "gpt" in load_catalog([write(tmp_path, "\ufeff" + GOOD)])
    path = tmp_path / "models.toml"
    path.write_bytes(GOOD.replace("ChatGPT", "é").encode("cp1252"))
    assert "Windows-1252" in load_catalog([path]).problem
