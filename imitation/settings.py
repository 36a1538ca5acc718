"""The only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import BaseModel, Field, ValidationError

from imitation.errors import ConfigError

PREFIX = "IMITATION_"
_NO = ("0", "false", "no")
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")
PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things live and what is allowed.

    Attributes:
        data: Folder of the database, runs and user files (IMITATION_DATA).
        cache: Folder of downloaded weights; safe to delete (IMITATION_CACHE).
        catalogs: Catalog files, later ones override earlier ones by id
            (IMITATION_CATALOG adds one; `models.toml` in the data folder is always looked for).
        cores: Cores all embedded engines together may use (IMITATION_CORES).
        idle_s: Seconds after which an unused engine is ended (IMITATION_ENGINE_IDLE_S).
        timeout_s: Seconds a model may stay silent before its request fails (IMITATION_TIMEOUT_S).
        offline: True keeps everything off the network but loopback (IMITATION_OFFLINE).
        weights: A local file or URL to take the pocket weights from first
            (IMITATION_POCKET_WEIGHTS).
        upload_bytes: Largest file that can be uploaded (IMITATION_UPLOAD_MB, megabytes).
        jobs: Whether visitors may start jobs from the page (IMITATION_JOBS).
        code_exec: Whether code that models wrote may be run in the sandbox (IMITATION_CODE_EXEC):
            True even where the sandbox lacks a wall, None only where it lacks none, False never.
        toxicity: The classifier of toxicity (IMITATION_TOXICITY): profanity, openai or hub:MODEL.
        copies: Engines of one embedded model at most; jobs that ask much at once set it.
    """

    data: Path
    cache: Path
    catalogs: tuple[Path, ...]
    cores: int
    idle_s: float = 900.0
    timeout_s: float = 120.0
    offline: bool = False
    weights: str = ""
    upload_bytes: int = 200_000_000
    jobs: bool = True
    code_exec: bool | None = None
    toxicity: str = "profanity"
    copies: int = 1

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "lab.sqlite3"


def available_cores() -> int:
    """Cores this process may run on (respects affinity; containers that pin cores)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Numbers(BaseModel):
    """The variables that hold numbers: lower case and without their prefix."""

    cores: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1
    engine_idle_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 900
    timeout_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 120
    upload_mb: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 200


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment, every problem reported together.

    Raises:
        ConfigError: A variable of ours does not parse.
    """
    env = os.environ if environ is None else environ
    problems: list[str] = []
    numbers = {key: text for key in _Numbers.model_fields if (text := env.get(_variable(key), ""))}
    try:
        read = _Numbers.model_validate({"cores": available_cores(), **numbers})
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors()]
        read = _Numbers()
    data = Path(env.get(PREFIX + "DATA") or platformdirs.user_data_dir("imitation-lab"))
    cache = Path(env.get(PREFIX + "CACHE") or platformdirs.user_cache_dir("imitation-lab"))
    catalogs = [PACKAGE / "models" / "models.toml", data / "models.toml"]
    if extra := env.get(PREFIX + "CATALOG"):
        if not Path(extra).is_file():
            problems.append(f"{PREFIX}CATALOG={extra!r} is not a file")
        catalogs.append(Path(extra))
    settings = Settings(
        data=data.expanduser().resolve(),
        cache=cache.expanduser().resolve(),
        catalogs=tuple(catalogs),
        cores=int(read.cores),
        idle_s=read.engine_idle_s,
        timeout_s=read.timeout_s,
        offline=env.get(PREFIX + "OFFLINE", "") not in ("", *_NO),
        weights=env.get(PREFIX + "POCKET_WEIGHTS", ""),
        upload_bytes=int(1e6 * read.upload_mb),
        jobs=env.get(PREFIX + "JOBS", "") not in _NO,
        code_exec=_code_exec(env),
        toxicity=env.get(PREFIX + "TOXICITY") or "profanity",
    )
    if problems:
        raise ConfigError("environment", problems, "Fix or unset these variables.")
    return settings


def _variable(key: str) -> str:
    return PREFIX + key.upper()


def _problem(detail: Any) -> str:
    """A number's problem, its variable written as people set it."""
    name, text = _variable(detail["loc"][0]), detail["input"]
    if detail["type"] == "greater_than_equal":
        return f"{name}={text} is below {detail['ctx']['ge']:g}"
    return f"{name}={text!r} is not a number"


def _code_exec(env: Mapping[str, str]) -> bool | None:
    """As set, else False where other machines reach the page, None where only this one does."""
    if answer := env.get(PREFIX + "CODE_EXEC", ""):
        return answer not in _NO
    local = env.get("GRADIO_SERVER_NAME", "") in ("", "127.0.0.1", "localhost", "::1")
    return None if local and not env.get("SPACE_ID") else False


def server_address(environ: Mapping[str, str] | None = None) -> tuple[str | None, int | None]:
    """Address and port the page listens on, by Gradio's own variables; None where unset.

    A named port is the port or nothing: Gradio by itself would move on to the next free one.

    Raises:
        ConfigError: GRADIO_SERVER_PORT is not a port.
    """
    env = os.environ if environ is None else environ
    text = env.get("GRADIO_SERVER_PORT", "")
    if text and not (text.isdigit() and 0 < int(text) < 65536):
        raise ConfigError(
            "environment", [f"GRADIO_SERVER_PORT={text!r} is not a port"], "Use 1 to 65535."
        )
    return env.get("GRADIO_SERVER_NAME") or None, int(text) if text else None


def keep_loopback_off_proxies(environ: MutableMapping[str, str] | None = None) -> None:
    """Have this process, and those it starts, reach this machine without a proxy.

    Gradio asks itself for its own page when it starts; through a proxy that fails.
    """
    env = os.environ if environ is None else environ
    for name in ("NO_PROXY", "no_proxy"):
        known = [host for host in env.get(name, "").split(",") if host]
        missing = [h for h in ("localhost", "127.0.0.1", "::1") if h not in known]
        if "*" not in known:
            env[name] = ",".join([*known, *missing])


def let_listeners_overlap(environ: MutableMapping[str, str] | None = None) -> None:
    """Have Gradio run a listener for 16 visitors at once instead of for one after the other.

    Told by its environment variable: `Blocks.queue()` would build the whole server once more.
    """
    env = os.environ if environ is None else environ
    env.setdefault("GRADIO_DEFAULT_CONCURRENCY_LIMIT", "16")


def secret(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Value of an environment variable that holds a key; None where unset or empty."""
    env = os.environ if environ is None else environ
    return env.get(name) or None


def leaked_secret(texts: Iterable[str], environ: Mapping[str, str] | None = None) -> str | None:
    """Name of an environment variable whose name tells a secret and whose value is in a text."""
    env = os.environ if environ is None else environ
    secrets = {n: v for n, v in env.items() if n.upper().endswith(_SECRET) and len(v) >= 8}
    return next((name for text in texts for name, value in secrets.items() if value in text), None)
