import json
import tomllib
from dataclasses import replace

import pytest

from imitation.errors import ConfigError, StorageError, UserError
from imitation.models.catalog import load_catalog
from imitation.models.catalog_writer import add_card, as_toml, remove_card
from imitation.settings import read_settings
from imitation.values import ModelSpec

CARD = ModelSpec(
    id="mine-1",
    name='Größe "quoted" \\ back\tslash\x7f\x00 ✓',
    role="imitation",
    backend="embedded",
    weights="cut-4",
    adapter="adapters/mine-1.gguf",
    base="pocket-base",
    params_b=0.12,
    stand_in=True,
    notes="two\nlines",
)


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "data").mkdir()
    return read_settings({"IMITATION_DATA": str(tmp_path / "data")})


def test_a_card_comes_back_as_it_was(settings):
    assert ModelSpec(**tomllib.loads(as_toml(CARD))["model"][0]) == CARD
    add_card(settings, CARD)
    found = load_catalog(settings.catalogs)["mine-1"]
    adapter = str(settings.data / "adapters" / "mine-1.gguf")
    assert found == replace(CARD, adapter=adapter), "the path is relative to the file"
    assert [p.name for p in settings.data.iterdir()] == ["models.toml"]


def test_what_was_written_by_hand_stays(settings):
    path = settings.data / "models.toml"
    by_hand = '# my models\n\n[[model]]  # the first\nid = "own"\nname = "Own"\n'
    by_hand += 'role = "base"\nbackend = "embedded"\nweights = "cut-2"   # kept\n\n\n'
    path.write_text(by_hand)
    add_card(settings, CARD)
    add_card(settings, replace(CARD, id="mine-2"))
    assert path.read_text().startswith(by_hand.rstrip())
    assert {"own", "mine-1", "mine-2"} <= set(load_catalog(settings.catalogs))


def test_ids_are_taken_once(settings):
    add_card(settings, CARD)
    before = (settings.data / "models.toml").read_bytes()
    for taken in ("mine-1", "pocket-base"):
        with pytest.raises(UserError, match="Choose another name"):
            add_card(settings, replace(CARD, id=taken))
    assert (settings.data / "models.toml").read_bytes() == before


@pytest.mark.parametrize(
    "changes", [{"id": "no spaces"}, {"base": "nobody"}, {"weights": ""}, {"role": "hero"}]
)
def test_a_card_that_is_not_valid_changes_nothing(settings, changes):
    with pytest.raises(ConfigError, match=r"models.toml: .*Nothing was changed"):
        add_card(settings, replace(CARD, **changes))
    assert list(settings.data.iterdir()) == []


def test_a_broken_file_is_left_as_it_is(settings):
    path = settings.data / "models.toml"
    path.write_text("[[model]\nid = ")
    with pytest.raises(ConfigError):
        add_card(settings, CARD)
    assert path.read_text() == "[[model]\nid = "


def test_a_folder_that_cannot_be_written(settings):
    settings.data.rmdir()
    settings.data.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="writable"):
        add_card(settings, CARD)


def test_defaults_are_left_out():
    keys = tomllib.loads(as_toml(ModelSpec("a", "A", "base", "embedded", weights="whole")))
    assert keys == {"model": [json.loads(
        '{"id": "a", "name": "A", "role": "base", "backend": "embedded", "weights": "whole"}'
    )]}  # fmt: skip


def test_a_card_is_taken_out_and_the_rest_stays(settings):
    path = settings.data / "models.toml"
    add_card(settings, CARD)
    path.write_text("# mine\n" + path.read_text() + "\n# about the next one\n")
    other = replace(CARD, id="other", name="[[model]]\nid = 'x'")
    add_card(settings, other)
    remove_card(settings, CARD.id)
    catalog = load_catalog(settings.catalogs)
    assert CARD.id not in catalog and catalog["other"].name == other.name
    text = path.read_text()
    assert "# mine" in text and "# about the next one" in text
    assert f'id = "{CARD.id}"' not in text
    remove_card(settings, "other")
    assert "other" not in load_catalog(settings.catalogs)
    with pytest.raises(UserError, match="no model 'other'"):
        remove_card(settings, "other")


def test_a_base_that_others_need_stays(settings):
    path = settings.data / "models.toml"
    base = replace(CARD, id="mybase", role="base", base="", adapter="")
    add_card(settings, base)
    add_card(settings, replace(CARD, id="child", base="mybase"))
    before = path.read_text()
    with pytest.raises(ConfigError, match="mybase"):
        remove_card(settings, "mybase")
    assert path.read_text() == before
