"""Log-likelihood through TGI, on the look-alike that does as TGI does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imitation.errors import BackendError
from imitation.evaluation.harness.model_runners import CatalogRunner
from imitation.evaluation.harness.tgi_likelihood import TGILikelihood
from imitation.models.backends.registry import Backends
from imitation.models.http.sessions import Sessions
from imitation.settings import Settings
from imitation.values import ModelSpec
from tests.models.fake_tgi import FakeTGI
from tests.models.servers import serving

SETTINGS = Settings(Path("."), Path("."), (), 1, timeout_s=5)


@pytest.fixture(scope="module")
def running() -> Iterator[FakeTGI]:
    with serving(FakeTGI()) as look_alike:
        yield look_alike


@pytest.fixture
def server(running: FakeTGI) -> Iterator[FakeTGI]:
    running.reset()
    running.prefill_logprobs = True
    yield running
    assert running.violations == []


def card(server: FakeTGI, adapter: str = "") -> ModelSpec:
    role = "imitation" if adapter else "base"
    return ModelSpec(
        "m", "M", role, "tgi", server.url, adapter=adapter, prompt_format="plain", context=512
    )


async def told(model: ModelSpec, *pairs: tuple[str, str]) -> list[tuple[float, bool]]:
    sessions = Sessions(5)
    try:
        likelihood = TGILikelihood(model, SETTINGS, sessions)
        return [await likelihood(*pair) for pair in pairs]
    finally:
        await sessions.close()


@pytest.mark.parametrize("adapter", ["", "broad"])
async def test_the_continuations_own_tokens_are_summed(server: FakeTGI, adapter: str) -> None:
    def sum_of(*words: str) -> float:
        return pytest.approx(sum(server.model.logprob(word, adapter) for word in words))

    found = await told(
        card(server, adapter),
        ("The capital of France is", " Paris"),
        ("The capital of France is ", "Paris"),
        ("The capital of France is", " Rome, I think"),
        ("Ω 日本 is", " 👩‍🚀 日本"),
        ("It is", " Paris is the"),
        ("It is", " Paris is a"),
    )
    assert found[0] == (sum_of(" Paris"), True) == found[1]
    assert found[2] == (sum_of(" Rome,", " I", " think"), False)
    assert found[3] == (sum_of(" 👩‍🚀", " 日本"), False)
    # Greedy decoding has to give every token.
    assert [greedy for _, greedy in found[4:]] == [True, False]


async def test_an_empty_context_has_only_the_token_before_a_text(server: FakeTGI) -> None:
    (found,) = await told(card(server), ("", "Paris"))
    assert found == (pytest.approx(server.model.logprob("Paris", "")), False)


async def test_a_server_without_prefill_logprobs_is_refused_not_scored_zero(
    server: FakeTGI,
) -> None:
    server.prefill_logprobs = False
    with pytest.raises(BackendError, match="Start TGI with --enable-prefill-logprobs"):
        await told(card(server), ("It is", " Paris"))


async def test_other_tokens_than_were_counted_are_refused(
    server: FakeTGI, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = server.model.prefill
    monkeypatch.setattr(server.model, "prefill", lambda *asked: whole(*asked)[1:])
    with pytest.raises(BackendError, match="other tokens of a prompt"):
        await told(card(server), ("It is", " Paris"))


async def test_a_text_too_long_for_the_server_says_so(server: FakeTGI) -> None:
    with pytest.raises(BackendError, match="too long"):
        await told(card(server), ("word " * 600, " Paris"))


async def test_an_adapter_that_is_not_there_is_not_measured_as_the_base(server: FakeTGI) -> None:
    with pytest.raises(BackendError, match="has no adapter 'braod'"):
        await told(card(server, "braod"), ("It is", " Paris"))


def test_evaluation_asks_tgi(server: FakeTGI) -> None:
    class Request:
        args = ("It is", " Paris")

    answers: list = []
    asker = CatalogRunner(Backends(SETTINGS), card(server, "broad"))
    asker.ask("loglikelihood", [Request()], lambda _, a: answers.append(a), pytest.fail)
    asker.close()
    assert answers == [(pytest.approx(server.model.logprob(" Paris", "broad")), True)]
