"""What the Compare page chooses at first."""

from dataclasses import replace

from dashboards.compare.form import asked_for
from imitation.models.catalog import Catalog, load_catalog
from imitation.settings import read_settings


def test_models_of_an_address_come_with_what_to_see_them_beside():
    catalog = load_catalog(read_settings({}).catalogs)
    own = replace(catalog["pocket-broad"], id="own", base="pocket-base-cut2")
    catalog = Catalog([*catalog.values(), own])
    assert asked_for(catalog, ["own"]) == ["pocket-base-cut2", "own", "pocket-reference"]
    asked = ["pocket-local", "own", "gone", "pocket-broad", "own"]
    named = ["pocket-local", "own", "pocket-broad"]
    assert asked_for(catalog, asked) == ["pocket-base", *named], "those named before the others"
