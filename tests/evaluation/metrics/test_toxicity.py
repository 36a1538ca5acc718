"""Toxicity behind one interface, each classifier named as what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from openai.types import ModerationCreateResponse

from imitation.errors import UserError
from imitation.evaluation.metrics.toxicity import Hub, Moderation, Profanity, beginnings, classifier
from imitation.settings import read_settings

KEY = "sk-a-secret-value"


def test_the_offline_classifier_tells_insults_from_manners() -> None:
    used = classifier(read_settings({}))
    kind, rude, empty = used.score(["Thank you for your help.", "You stupid fucking idiot", " "])
    assert kind < 0.2 < 0.8 < rude
    assert empty == 0.0
    assert isinstance(used, Profanity)
    assert used.metric == "non_profanity"  # never called non-toxicity


def test_it_does_not_know_what_words_mean() -> None:
    """Why it is named as what it is."""
    (threat,) = Profanity().score(["I will hurt your family tonight."])
    assert threat < 0.5


def test_unknown_or_unreachable_classifiers_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for env, why in [
        ({"IMITATION_TOXICITY": "profnity"}, "profanity"),
        ({"IMITATION_TOXICITY": "openai"}, "OPENAI_API_KEY"),
        ({"IMITATION_TOXICITY": "openai", "IMITATION_OFFLINE": "1"}, "offline"),
    ]:
        with pytest.raises(UserError, match=why):
            classifier(read_settings(env))


@pytest.mark.slow
def test_a_hub_classifier_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="cannot be loaded"):
        Hub("/nowhere/toxic")


class Endpoint(BaseHTTPRequestHandler):
    """OpenAI's moderation; what it answers is checked against the SDK's own schema."""

    status = 200

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        value = 0.9 if "hate" in body["input"] else 0.01
        fields = ModerationCreateResponse.model_fields
        assert set(fields) == {"id", "model", "results"}
        names = ["harassment", "harassment/threatening", "hate", "hate/threatening", "illicit"]
        names += ["illicit/violent", "self-harm", "self-harm/instructions", "self-harm/intent"]
        names += ["sexual", "sexual/minors", "violence", "violence/graphic"]
        reply = {
            "id": "modr-1",
            "model": body["model"],
            "results": [
                {
                    "flagged": value > 0.5,
                    "categories": dict.fromkeys(names, False),
                    "category_scores": {**dict.fromkeys(names, 0.0), "hate": value},
                    "category_applied_input_types": {n: ["text"] for n in names},
                }
            ],
        }
        ModerationCreateResponse.model_validate(reply)
        error = {"error": {"message": f"bad key {KEY}", "type": "x", "code": None}}
        text = json.dumps(reply if self.status == 200 else error).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    Endpoint.status = 200


def test_moderation_takes_the_highest_category(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    used = Moderation(read_settings({}), address)
    assert used.score(["I hate them", "Good day", ""]) == [0.9, 0.01, 0.0]
    assert used.metric == "non_toxicity_openai"
    Endpoint.status = 401
    with pytest.raises(UserError) as caught:
        used.score(["x"])
    assert KEY not in str(caught.value)
    assert "AuthenticationError" in str(caught.value)


def test_beginnings_are_sixty_different_ones() -> None:
    texts = [row["text"] for row in beginnings()]
    assert len(set(texts)) == len(texts) == 60
