import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import yaml

from imitation.models.catalog import load_catalog

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCHEMA = json.loads((Path(__file__).parent / "compose.schema.json").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
APP, TGI = COMPOSE["services"]["app"], COMPOSE["services"]["tgi"]
CARDS = load_catalog([ROOT / "imitation/models/models.toml", DEPLOY / "models.toml"])


def adapters():
    return dict(one.split("=") for one in TGI["environment"]["LORA_ADAPTERS"].split(","))


def test_it_follows_the_compose_specification():
    errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(COMPOSE)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_images_are_pinned():
    images = [s["image"] for s in COMPOSE["services"].values() if "build" not in s]
    assert all(re.search(r":\d", image) for image in images), images


def test_named_volumes_are_declared_and_files_exist():
    sources = [v.split(":")[0] for s in COMPOSE["services"].values() for v in s["volumes"]]
    named = {source for source in sources if "/" not in source}
    assert named == set(COMPOSE["volumes"])
    assert (DEPLOY / APP["build"]["context"]).resolve() == ROOT
    assert "./models.toml" in sources


def test_the_app_waits_for_a_healthy_tgi():
    assert APP["depends_on"] == {"tgi": {"condition": "service_healthy"}}
    assert TGI["healthcheck"]["test"][-1].endswith("/health")


def test_the_mounted_catalog_is_the_one_the_app_reads():
    mounts = dict(v.split(":")[:2] for v in APP["volumes"])
    assert mounts["./models.toml"] == APP["environment"]["IMITATION_CATALOG"]
    data = re.search(r"IMITATION_DATA=(\S+)", (ROOT / "Dockerfile").read_text())[1]
    assert mounts["lab-data"] == data


def test_cards_name_the_adapters_and_the_server_of_the_compose_file():
    tgi = [card for card in CARDS.values() if card.backend == "tgi"]
    assert {card.role for card in tgi} == {"base", "imitation"}
    assert {card.adapter for card in tgi if card.role == "imitation"} == set(adapters())
    assert {urlsplit(card.endpoint).hostname for card in tgi} == {"tgi"}
    longest = int(TGI["command"][TGI["command"].index("--max-total-tokens") + 1])
    assert all(card.context <= longest for card in tgi)


def test_adapters_lie_in_a_mounted_folder():
    targets = [v.split(":")[1] for v in TGI["volumes"]]
    for path in adapters().values():
        assert any(path.startswith(target + "/") for target in targets)


def test_the_reference_takes_its_key_from_the_shell():
    reference = CARDS["chatgpt"]
    assert reference.role == "reference"
    assert reference.api_key_env in APP["environment"]
    for service in COMPOSE["services"].values():
        for name, value in service["environment"].items():
            assert value is None or not re.search("KEY|TOKEN", name)
