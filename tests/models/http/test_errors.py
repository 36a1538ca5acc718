import email.utils
import ssl
import time

import httpx2
import pytest

from imitation.models.http import errors as http_errors
from imitation.models.http.connection import is_loopback, origin
from imitation.models.http.retry import RetryableError
from imitation.values import ModelSpec

CARD = ModelSpec("m", "LLaMA", "base", "openai", endpoint="https://u:p@h.example:8/v1?key=k")


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000",
        '{"error": {"code": 400, "message": "request (600 tokens) exceeds the available '
        'context size (512 tokens)", "type": "exceed_context_size_error"}}',
        '{"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. '
        'Given: 1984 `inputs` tokens and 100 `max_new_tokens`", "error_type": "validation"}',
        '{"error": "`inputs` must have less than 1000 tokens. Given: 1200"}',
    ],
)
def test_overflow_is_recognised_in_the_words_of_many_servers(said):
    error = http_errors.status_error(CARD, 400, said)
    assert error.message.startswith("The conversation is too long for LLaMA.")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": "m", "error_type": "t"}, "m"),
        ({"detail": "m"}, "m"),
        ('{"message": "m"}', "m"),
        (b"m", "m"),
        ("plain words", "plain words"),
        ({"detail": [{"msg": "m"}]}, '[{"msg": "m"}]'),
        ("x" * 1000, "x" * 300 + "..."),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_what_a_server_says_is_found_in_its_usual_forms(body, said):
    assert http_errors.status_error(CARD, 418, body).message.endswith(f"(418). It says: {said}")


@pytest.mark.parametrize("body", [None, {}, "", "<html>nginx</html>", {"error": {}}])
def test_what_says_nothing_is_not_quoted(body):
    assert "says" not in http_errors.status_error(CARD, 500, body).message


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 500, 503])
def test_a_key_a_server_repeats_is_taken_out(status):
    error = http_errors.status_error(CARD, status, "your key sk-1234567 is odd", key="sk-1234567")
    assert "sk-1234567" not in str(error) and "your key (key) is odd" in str(error)
    assert "sk-1234567" not in str(http_errors.status_error(CARD, 401, "sk-1234567"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("0.5", 0.5), ("-3", 0), ("soon", None), ("", None)],
)
def test_retry_after_in_seconds(text, seconds):
    error = http_errors.status_error(CARD, 429, "", {"retry-after": text})
    assert isinstance(error, RetryableError) and error.retry_after_s == seconds


def test_retry_after_as_a_date():
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    error = http_errors.status_error(CARD, 503, "", {"retry-after": date})
    assert 28 <= error.retry_after_s <= 31


def test_an_empty_account_is_not_tried_again_but_a_full_minute_is():
    assert "no quota left" in http_errors.status_error(CARD, 402, "").message
    assert "no quota left" in http_errors.status_error(CARD, 429, "check your billing").message
    minute = http_errors.status_error(CARD, 429, "quota per minute exceeded", {"retry-after": "9"})
    assert isinstance(minute, RetryableError)


def test_credentials_of_an_endpoint_are_not_shown():
    assert origin(CARD.endpoint) == "https://h.example:8"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx2.ConnectTimeout(""), "could not be reached within"),
        (httpx2.ProxyError("407"), "proxy did not let"),
        (httpx2.ConnectError(""), "Nothing answers at https://h.example:8."),
        (httpx2.ReadError(""), "closed the connection before"),
    ],
)
def test_connections_fail_in_words(error, words):
    assert words in http_errors.connection_error(CARD, error).message


def test_a_bad_certificate_is_not_tried_again():
    error = httpx2.ConnectError("")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    found = http_errors.connection_error(CARD, error)
    assert "self-signed" in found.message and not isinstance(found, RetryableError)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:80", True),
        ("http://127.0.0.2/v1", True),
        ("http://[::1]:8/", True),
        ("http://x.localhost", True),
        ("http://192.168.0.2", False),
        ("https://api.openai.com/v1", False),
        ("http://localhost.example.com", False),
    ],
)
def test_loopback(url, here):
    assert is_loopback(url) == here
