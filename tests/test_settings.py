from pathlib import Path

import pytest

from imitation.errors import ConfigError
from imitation.settings import (
    available_cores,
    keep_loopback_off_proxies,
    leaked_secret,
    read_settings,
    secret,
    server_address,
)


def test_defaults_need_no_variable() -> None:
    settings = read_settings({})
    assert settings.cores == available_cores()
    assert settings.catalogs[0].is_file()
    assert not settings.offline
    assert settings.jobs
    assert settings.database.parent == settings.data


def test_everything_can_be_set(tmp_path: Path) -> None:
    catalog = tmp_path / "mine.toml"
    catalog.write_text("")
    settings = read_settings(
        {
            "IMITATION_DATA": str(tmp_path / "d"),
            "IMITATION_CACHE": str(tmp_path / "c"),
            "IMITATION_CATALOG": str(catalog),
            "IMITATION_CORES": "3",
            "IMITATION_OFFLINE": "1",
            "IMITATION_JOBS": "0",
            "IMITATION_TIMEOUT_S": "5",
        }
    )
    assert settings.data == tmp_path / "d"
    assert settings.catalogs == (settings.catalogs[0], tmp_path / "d" / "models.toml", catalog)
    assert (settings.cores, settings.offline, settings.timeout_s) == (3, True, 5)
    assert not settings.jobs


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(
            {
                "IMITATION_CORES": "many",
                "IMITATION_TIMEOUT_S": "0",
                "IMITATION_CATALOG": "/nowhere/models.toml",
            }
        )
    assert len(caught.value.problems) == 3
    for seen in ("'many'", "IMITATION_TIMEOUT_S=0", "/nowhere/models.toml"):
        assert seen in str(caught.value)


def test_an_empty_key_is_no_key() -> None:
    assert secret("K", {"K": ""}) is None
    assert secret("K", {"K": "x"}) == "x"


def test_the_servers_address_is_gradios_own() -> None:
    assert server_address({}) == (None, None)
    set_ = {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "8000"}
    assert server_address(set_) == ("0.0.0.0", 8000)
    for text in ("http", "0", "70000", "-1"):
        with pytest.raises(ConfigError, match="not a port"):
            server_address({"GRADIO_SERVER_PORT": text})


def test_secrets_are_found_by_the_names_of_their_variables() -> None:
    env = {"HF_TOKEN": "hf_12345678", "HOME": "/home/someone", "SHORT_KEY": "abc"}
    assert leaked_secret(["--x", "--token=hf_12345678"], env) == "HF_TOKEN"
    assert leaked_secret(["/home/someone/abc"], env) is None


def test_this_machine_is_reached_without_a_proxy() -> None:
    env = {"HTTP_PROXY": "http://proxy:3128", "no_proxy": "intranet,127.0.0.1"}
    keep_loopback_off_proxies(env)
    assert env["NO_PROXY"] == "localhost,127.0.0.1,::1"
    assert env["no_proxy"] == "intranet,127.0.0.1,localhost,::1"
    keep_loopback_off_proxies(env)
    assert env["NO_PROXY"] == "localhost,127.0.0.1,::1"
    everything = {"NO_PROXY": "*"}
    keep_loopback_off_proxies(everything)
    assert everything["NO_PROXY"] == "*"
