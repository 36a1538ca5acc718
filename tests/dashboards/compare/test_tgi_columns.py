"""A column whose server computes another model says so, and is not voted on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards.compare.question import Question
from dashboards.compare.session import Session
from dashboards.compare.view import arena_html
from dashboards.shell.context import Context
from imitation.errors import UserError
from imitation.models.backends.registry import Backends
from imitation.models.catalog import Catalog
from imitation.settings import read_settings
from imitation.storage.database import connect
from imitation.values import ModelSpec, Sampling
from tests.models.fake_tgi import FakeTGI
from tests.models.servers import serving


@pytest.fixture(scope="module")
def server() -> Iterator[FakeTGI]:
    with serving(FakeTGI()) as look_alike:
        yield look_alike


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize(
    ("fault", "words"),
    [("absent", "it answers as the base, without saying so"), ("graphs", "CUDA graphs are on")],
)
async def test_a_column_with_the_bases_words_is_never_shown_as_an_imitation(
    server: FakeTGI, tmp_path: Path, fault: str, words: str, blind: bool
) -> None:
    server.reset()
    server.model.cuda_graphs = fault == "graphs"
    if fault == "absent":
        server.restart(local=16)
    settings = read_settings({"IMITATION_DATA": str(tmp_path), "IMITATION_CACHE": str(tmp_path)})
    context = Context(settings, connect(settings.database), Backends(settings))
    common = {"backend": "tgi", "endpoint": server.url, "prompt_format": "koala", "context": 512}
    cards = [
        ModelSpec("b", "The base", "base", **common),
        ModelSpec("i", "Broad", "imitation", adapter="broad", base="b", **common),
    ]
    context.catalog = lambda: Catalog(cards)
    session = Session(context, "anna")
    question = Question("Why?", ("b", "i"), blind=blind, sampling=Sampling(0, max_tokens=20))
    async for _ in session.ask(question):
        pass
    by_name = dict(zip((c.id for c in session.comparison.cards), session.answers, strict=True))
    assert by_name["b"].text == " Paris is the capital."
    assert (by_name["i"].state, by_name["i"].text) == ("failed", "")
    assert words in by_name["i"].error[0]
    if not blind:
        assert words in arena_html(session)
    with pytest.raises(UserError, match="no fair vote"):
        session.vote("0")
    await context.backends.close()
