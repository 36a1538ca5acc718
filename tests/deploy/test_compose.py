import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from imitation.models.backends.tgi.adapter_rules import rank_warning
from imitation.models.catalog import Catalog, load_catalog
from training.zero_adapter import main as zero_adapter

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCHEMA = json.loads((Path(__file__).parent / "compose.schema.json").read_text())


class Deployment:
    """A compose file with the catalog it mounts."""

    def __init__(self, name: str, catalog: str, server: str) -> None:
        self.catalog, self.server = catalog, server
        self.whole = yaml.safe_load((DEPLOY / name).read_text())
        self.services = self.whole["services"]
        self.app, self.gpu = self.services["app"], self.services[server]
        self.cards: Catalog = load_catalog(
            [ROOT / "imitation/models/models.toml", DEPLOY / catalog]
        )

    def options(self) -> dict[str, str]:
        return dict(one.partition("=")[::2] for one in self.gpu["command"] if one[:2] == "--")

    def adapters(self) -> dict[str, str]:
        if said := self.gpu["environment"].get("LORA_ADAPTERS"):
            return dict(one.split("=") for one in said.split(","))
        return dict(one.split("=") for one in self.gpu["command"] if one[:2] != "--")


TGI = Deployment("compose.yaml", "models.toml", "tgi")
VLLM = Deployment("compose-vllm.yaml", "models-vllm.toml", "vllm")
both = pytest.mark.parametrize("it", [TGI, VLLM], ids=["tgi", "vllm"])


@both
def test_it_follows_the_compose_specification(it):
    errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(it.whole)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@both
def test_images_are_pinned(it):
    images = [s["image"] for s in it.services.values() if "build" not in s]
    assert images and all(re.search(r":v?\d", image) for image in images), images


@both
def test_named_volumes_are_declared_and_files_exist(it):
    sources = [v.split(":")[0] for s in it.services.values() for v in s["volumes"]]
    named = {source for source in sources if "/" not in source}
    assert named == set(it.whole["volumes"])
    for service in it.services.values():
        if "build" in service:
            assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
    assert f"./{it.catalog}" in sources


@both
def test_the_app_waits_for_a_healthy_server(it):
    assert it.app["depends_on"] == {it.server: {"condition": "service_healthy"}}
    assert "/health" in it.gpu["healthcheck"]["test"][-1]


@both
def test_the_mounted_catalog_is_the_one_the_app_reads(it):
    mounts = dict(v.split(":")[:2] for v in it.app["volumes"])
    assert mounts[f"./{it.catalog}"] == it.app["environment"]["IMITATION_CATALOG"]
    data = re.search(r"IMITATION_DATA=(\S+)", (ROOT / "Dockerfile").read_text())[1]
    assert mounts["lab-data"] == data


@both
def test_cards_name_the_adapters_and_the_server_of_the_compose_file(it):
    served = [card for card in it.cards.values() if it.server in card.endpoint]
    assert {card.role for card in served} == {"base", "imitation"}
    assert {card.adapter for card in served if card.adapter} == set(it.adapters())
    assert {urlsplit(card.endpoint).hostname for card in served} == {it.server}
    options = it.options()
    longest = int(options.get("--max-total-tokens") or options["--max-model-len"])
    assert all(card.context <= longest for card in served)
    model = options.get("--model-id") or options["--model"]
    assert {card.model for card in served} == ({model} if it is VLLM else {""})


@both
def test_adapters_lie_in_a_mounted_folder(it):
    targets = [v.split(":")[1] for v in it.gpu["volumes"]]
    for path in it.adapters().values():
        assert any(path.startswith(target + "/") for target in targets)


@both
def test_the_reference_takes_its_key_from_the_shell(it):
    reference = it.cards["chatgpt"]
    assert reference.role == "reference"
    assert reference.api_key_env in it.app["environment"]
    for service in it.services.values():
        for name, value in service.get("environment", {}).items():
            assert value is None or not re.search("KEY|TOKEN", name)


@both
def test_nobody_is_told_of_its_use(it):
    said = it.options().get("--usage-stats") or it.gpu["environment"].get("VLLM_NO_USAGE_STATS")
    assert said in ("off", "1")


def test_tgi_is_started_so_that_adapters_are_right():
    options = TGI.options()
    # On the command line: the variable has no effect.
    assert options["--cuda-graphs"] == "0" and "CUDA_GRAPHS" not in TGI.gpu["environment"]
    # No limit of prompts below what cards say.
    assert int(options["--max-input-tokens"]) == int(options["--max-total-tokens"]) - 1
    # Nothing asks for the bare base, which must not be in a batch with adapters.
    served = [card for card in TGI.cards.values() if card.backend == "tgi"]
    assert all(card.adapter for card in served)


def test_the_base_is_an_adapter_without_effect_made_before_tgi_starts(tmp_path):
    maker = TGI.services["zero-adapter"]
    assert TGI.gpu["depends_on"] == {
        "zero-adapter": {"condition": "service_completed_successfully"}
    }
    said = maker["command"][-1]
    made = re.search(r"python -m training.zero_adapter (--like (\S+) --out (\S+))", said)
    base = next(c for c in TGI.cards.values() if c.backend == "tgi" and c.role == "base")
    assert TGI.adapters()[base.adapter] == made[3]
    assert made[2] in TGI.adapters().values()
    volume = next(v.split(":")[0] for v in maker["volumes"] if made[3].startswith(v.split(":")[1]))
    assert any(v.startswith(f"{volume}:") for v in TGI.gpu["volumes"])
    # The command line is one that the command takes.
    missing = made[1].replace(made[2], str(tmp_path / "none")).replace(made[3], str(tmp_path / "z"))
    assert zero_adapter(missing.split()) == 1


def test_vllm_takes_adapters_of_the_ranks_that_training_makes_and_new_ones():
    from training import config

    ranks = {config.preset(n).lora_r for n in config.presets() if config.preset(n).method != "full"}
    assert max(ranks) <= int(VLLM.options()["--max-lora-rank"])
    assert [rank_warning(rank) for rank in ranks] == [""] * len(ranks)
    assert VLLM.gpu["environment"]["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
    # A path of the app is one of the server too.
    data = re.search(r"IMITATION_DATA=(\S+)", (ROOT / "Dockerfile").read_text())[1]
    assert f"lab-data:{data}:ro" in VLLM.gpu["volumes"]
