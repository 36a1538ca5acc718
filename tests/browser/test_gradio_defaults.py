"""What Gradio would allow by default, asked of the running app."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import App

pytestmark = pytest.mark.slow


def ask(
    app: App, path: str, body: bytes | None = None, kind: str = "application/json"
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)
    try:
        method = "POST" if body is not None else "GET"
        connection.request(method, path, body, {"Content-Type": kind})
        reply = connection.getresponse()
        return reply.status, reply.read().decode("utf-8", "replace")
    finally:
        connection.close()


def test_nobody_borrows_the_token_of_the_hub(app: App) -> None:
    """Gradio's run history takes HF_TOKEN for whoever names a bucket."""
    config = json.loads(ask(app, "/config")[1])
    assert config["run_history"] is False
    assert ask(app, "/gradio_api/runs")[0] == 404


@pytest.mark.parametrize("path", ["/monitoring", "/monitoring/summary"])
def test_nobody_is_told_how_the_app_is_used(app: App, path: str) -> None:
    assert ask(app, path)[0] == 403


def test_uploads_are_limited(app: App) -> None:
    config = json.loads(ask(app, "/config")[1])
    assert config["max_file_size"] == 200_000_000
    head = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="big.json"\r\n'
        b"Content-Type: application/json\r\n\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    status, said = ask(
        app, "/gradio_api/upload", head + bytes(200_000_001) + b"\r\n--x--\r\n", kind
    )
    assert status == 413 and "200000000" in said
    status, said = ask(app, "/gradio_api/upload", head + b"{}" + b"\r\n--x--\r\n", kind)
    assert status == 200 and json.loads(said)
