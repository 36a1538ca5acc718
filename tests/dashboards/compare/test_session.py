import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards.compare.question import Question
from dashboards.compare.session import Session
from dashboards.compare.view import arena_html, history_html, score_text
from dashboards.shell.context import Context
from imitation.errors import BackendError, StorageError, UserError
from imitation.models.catalog import Catalog
from imitation.models.download import Progress
from imitation.models.streaming import conversation
from imitation.settings import read_settings
from imitation.storage import comparisons, votes
from imitation.storage.database import connect
from imitation.values import Answer, Event, Message, ModelSpec, Sampling, Turn
from tests.scripted import Script, ScriptedBackend

NAMES = ("b", "i", "r")
ROLES = {"b": "base", "i": "imitation", "r": "reference", "b2": "base"}
SECRET_WORDS = (
    "base",
    "imitation",
    "reference",
    "model b",
    "model i",
    "model r",
    "tok/s",
    "to first",
)


class Lab:
    """A session over scripted models and a real store."""

    def __init__(self, folder: Path, **scripts: Script) -> None:
        given = {name: Script() for name in ROLES} | scripts
        self.backend = ScriptedBackend(given)
        settings = read_settings({"IMITATION_DATA": str(folder), "IMITATION_CACHE": str(folder)})
        self.context = Context(settings, connect(settings.database), self.backend)
        cards = [ModelSpec(id=n, name=f"Model {n}", role=r, backend="x") for n, r in ROLES.items()]
        self.context.catalog = lambda: Catalog(cards)
        self.session = Session(self.context, "anna")

    async def ask(self, prompt: str = "Why?", **changes: object) -> list[str]:
        """Ask, and return the page at every step."""
        question = Question(prompt, changes.pop("models", NAMES), **changes)
        return [arena_html(self.session) async for _ in self.session.ask(question)]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


async def test_columns_stream_and_what_came_out_is_stored(lab: Lab) -> None:
    await lab.ask(system="be brief", sampling=Sampling(seed=7))
    assert [a.text for a in lab.session.answers] == ["Hello there."] * 3
    assert lab.session.phase == "open"
    stored = comparisons.load(lab.context.db, lab.session.comparison.id)
    assert stored == replace(lab.session.comparison, created=stored.created)
    assert stored.turns[0].answers[0].state == "done"
    assert lab.backend.asked[0][1] == (Message("system", "be brief"), Message("user", "Why?"))
    assert lab.backend.asked[0][2].seed == 7


async def test_a_slow_column_and_a_failing_one_hold_nobody_back(tmp_path: Path) -> None:
    lab = Lab(tmp_path, b=Script(["x"] * 40, pause_s=0.05), i=Script(fail_after=1))
    session = lab.session
    async for _ in session.ask(Question("Why?", NAMES)):
        if session.answers[2].state == "done":
            break
    # The fast column ended while the slow one had hardly begun.
    assert len(session.answers[0].text) < 30
    assert session.answers[1].error == ("The server is overloaded.", "Try again soon.")
    html = arena_html(session)
    assert "The server is overloaded." in html and ">Retry<" in html


async def test_leaving_in_the_middle_stops_the_work_and_keeps_what_was_written(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path, b=Script(["x"] * 1000, pause_s=0.01))
    steps = lab.session.ask(Question("Why?", NAMES))
    async for _ in steps:
        if lab.session.answers[0].tokens > 3:
            break
    await steps.aclose()
    await asyncio.sleep(0.05)
    assert lab.backend.closed_early == ["b"]
    stored = comparisons.load(lab.context.db, lab.session.comparison.id)
    assert stored.turns[0].answers[0].state == "stopped"
    assert stored.turns[0].answers[0].text.startswith("xxx")


async def test_one_column_is_stopped_the_others_go_on(tmp_path: Path) -> None:
    lab = Lab(tmp_path, b=Script(["x"] * 1000, pause_s=0.01), i=Script(["y"] * 30, pause_s=0.01))
    async for _ in lab.session.ask(Question("Why?", NAMES)):
        if lab.session.answers[0].tokens > 3:
            lab.session.stop(0)
    assert [a.state for a in lab.session.answers] == ["stopped", "done", "done"]
    assert lab.backend.closed_early == ["b"]


async def test_an_unexpected_error_stays_in_its_column_without_a_trace(tmp_path: Path) -> None:
    boom = Script(fail_after=0, error=ValueError("secret detail"))
    lab = Lab(tmp_path, i=boom)
    await lab.ask()
    assert [a.state for a in lab.session.answers] == ["done", "failed", "done"]
    html = arena_html(lab.session)
    assert "ValueError" in html and "secret detail" not in html and "Traceback" not in html


async def test_regenerating_one_column_leaves_the_others(lab: Lab) -> None:
    await lab.ask()
    lab.backend.scripts["i"] = Script(["Afresh"])
    async for _ in lab.session.again(1):
        pass
    assert [a.text for a in lab.session.answers] == ["Hello there.", "Afresh", "Hello there."]
    stored = comparisons.load(lab.context.db, lab.session.comparison.id)
    assert stored.turns[0].answers[1].text == "Afresh"


async def test_a_follow_up_sends_each_column_its_own_history(lab: Lab) -> None:
    lab.backend.scripts["b"] = Script(["Base says"])
    lab.backend.scripts["i"] = Script(fail_after=0)
    await lab.ask("One?")
    lab.backend.scripts["i"] = Script()
    await lab.ask("Two?", follow_up=True)
    sent = {name: [m.content for m in messages] for name, messages, _ in lab.backend.asked[3:]}
    assert sent["b"] == ["One?", "Base says", "Two?"]
    assert sent["i"] == ["Two?"]
    assert len(lab.session.comparison.turns) == 2
    assert "One?" in arena_html(lab.session)


async def test_other_models_begin_a_new_conversation(lab: Lab) -> None:
    await lab.ask("One?")
    first = lab.session.comparison.id
    await lab.ask("Two?", follow_up=True, models=("b", "r"))
    assert lab.session.comparison.id != first
    assert len(lab.session.comparison.turns) == 1


@pytest.mark.parametrize("prompt", ["", "   \n", "\x00"])
async def test_an_empty_question_is_refused(lab: Lab, prompt: str) -> None:
    with pytest.raises(UserError, match="no question"):
        await lab.ask(prompt)
    assert lab.backend.asked == []


@pytest.mark.parametrize("models", [(), ("b",), ("b", "b"), ("b", "i", "r", "b2", "x")])
async def test_two_to_four_columns(lab: Lab, models: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="Choose 2 to 4"):
        await lab.ask(models=models)


async def test_a_second_question_waits_for_the_first(tmp_path: Path) -> None:
    lab = Lab(tmp_path, b=Script(["x"] * 100, pause_s=0.01))
    steps = lab.session.ask(Question("Why?", NAMES))
    await anext(steps)
    with pytest.raises(UserError, match="still being answered"):
        await lab.ask("Again?")
    await steps.aclose()


@pytest.mark.parametrize(
    "prompt",
    [
        "<script>alert(1)</script>",
        "مرحبا كيف حالك",
        "👩‍👩‍👧‍👦 ok?",
        "a\x00b",
        "x" * 100_000,
        "${1+1} {{value}}",
        "<img src=x onerror=alert(1)>",
    ],
)
async def test_strange_prompts_are_asked_and_shown_escaped(lab: Lab, prompt: str) -> None:
    lab.backend.scripts["b"] = Script([prompt])
    await lab.ask(prompt)
    assert lab.backend.asked[0][1][-1].content == prompt.replace("\x00", "")
    html = arena_html(lab.session)
    assert "<script" not in html and "<img" not in html
    assert comparisons.load(lab.context.db, lab.session.comparison.id) is not None


async def test_blind_gives_nothing_away_before_the_vote(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        b=Script(["b "] * 30, pause_s=0.001),
        i=Script(["i "] * 30, pause_s=0.01),
        r=Script(["r "] * 10, pause_s=0.03),
    )
    async for _ in lab.session.ask(Question("Why?", NAMES, blind=True)):
        shown = [len(a.text) for a in lab.session.shown()]
        if lab.session.phase == "running":
            slowest = min(
                len(a.text) for a in lab.session.answers if a.state in ("waiting", "streaming")
            )
            assert max(shown) <= slowest
        html = arena_html(lab.session).lower()
        assert not [word for word in SECRET_WORDS if word in html]
    assert lab.session.phase == "vote"
    assert "blind, names not revealed" in history_html([lab.session.comparison])


async def test_blind_order_is_shuffled(lab: Lab) -> None:
    seen: Counter[tuple[str, ...]] = Counter()
    for _ in range(60):
        await lab.ask(blind=True)
        seen[tuple(card.id for card in lab.session.comparison.cards)] += 1
        lab.session.reveal()
    assert len(seen) == 6


async def test_vote_then_guess_then_reveal(lab: Lab) -> None:
    await lab.ask(blind=True)
    cards = lab.session.comparison.cards
    place = {card.id: str(index) for index, card in enumerate(cards)}
    lab.session.vote(place["i"])
    assert lab.session.phase == "guess" and lab.session.comparison.blind
    assert "model i" not in arena_html(lab.session).lower()
    assert lab.session.guess(place["r"])
    assert lab.session.phase == "open"
    rows = lab.context.db.execute("SELECT kind, choice, blind, columns FROM votes").fetchall()
    assert [(r["kind"], r["choice"], r["blind"]) for r in rows] == [
        ("preference", "i", 1),
        ("reference", "r", 1),
    ]
    assert json.loads(rows[0]["columns"]) == [card.id for card in cards]
    said = score_text(votes.guess_score(lab.context.db, "anna"))
    assert said == "You found the reference 1 of 1 time; guessing finds it 33% of the time."
    html = arena_html(lab.session)
    assert "You preferred: Imitation, Model i." in html and "right" in html


async def test_without_a_reference_the_vote_reveals(lab: Lab) -> None:
    await lab.ask(blind=True, models=("b", "i"))
    lab.session.vote(votes.ALL_BAD)
    assert lab.session.phase == "open"


async def test_a_failed_column_makes_a_blind_round_void_and_is_asked_again_reshuffled(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path, i=Script(fail_after=1))
    await lab.ask(blind=True)
    assert lab.session.phase == "void"
    html = arena_html(lab.session)
    assert "overloaded" not in html and "cannot be voted on" in html
    with pytest.raises(UserError, match="no fair vote"):
        lab.session.vote("0")
    lab.backend.scripts["i"] = Script(["Fine"])
    orders = set()
    for _ in range(20):
        async for _ in lab.session.again():
            pass
        orders.add(tuple(card.id for card in lab.session.comparison.cards))
        texts = {
            c.id: a.text
            for c, a in zip(lab.session.comparison.cards, lab.session.answers, strict=True)
        }
        assert texts == {"b": "Hello there.", "i": "Fine", "r": "Hello there."}
    assert len(orders) > 1
    assert lab.session.phase == "vote"


async def test_no_vote_while_running_nor_on_somebody_elses(tmp_path: Path) -> None:
    lab = Lab(tmp_path, b=Script(["x"] * 100, pause_s=0.01))
    steps = lab.session.ask(Question("Why?", NAMES))
    await anext(steps)
    with pytest.raises(UserError, match="still being written"):
        lab.session.vote("0")
    await steps.aclose()
    link = lab.session.share()
    guest = Session(lab.context, "bert")
    guest.open(comparisons.load_shared(lab.context.db, link))
    html = arena_html(guest)
    assert "A shared comparison" in html and 'data-do="vote"' not in html
    for action in (lambda: guest.vote("0"), guest.share, guest.reveal, guest.unshare):
        with pytest.raises(UserError, match="somebody else"):
            action()
    lab.session.unshare()
    with pytest.raises(UserError, match="does not exist"):
        guest.open(comparisons.load_shared(lab.context.db, link))


async def test_a_stopped_column_is_recorded_with_the_vote(tmp_path: Path) -> None:
    lab = Lab(tmp_path, b=Script(["x"] * 100, pause_s=0.01))
    async for _ in lab.session.ask(Question("Why?", NAMES)):
        if lab.session.answers[0].tokens > 2:
            lab.session.stop(0)
    lab.session.vote("1")
    row = lab.context.db.execute("SELECT states FROM votes").fetchone()
    assert json.loads(row["states"]) == ["stopped", "done", "done"]


async def test_sharing_waits_for_the_reveal(lab: Lab) -> None:
    await lab.ask(blind=True)
    with pytest.raises(UserError, match="still hidden"):
        lab.session.share()


async def test_a_vote_that_cannot_be_stored_reveals_nothing(lab: Lab) -> None:
    lab.backend.scripts["b"] = Script(["x" * 200_000])
    await lab.ask(blind=True, models=("b", "i"))
    pages = lab.context.db.execute("PRAGMA page_count").fetchone()[0]
    with lab.context.db.writing():
        lab.context.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="could not be saved"):
        lab.session.vote("0")
    assert lab.session.phase == "vote" and lab.session.comparison.blind
    with lab.context.db.writing():
        lab.context.db.execute(f"PRAGMA max_page_count = {pages * 10}")
    lab.session.vote("0")
    assert lab.session.phase == "open"


async def test_history_opens_without_asking_anything(lab: Lab) -> None:
    await lab.ask()
    asked = len(lab.backend.asked)
    other = Session(lab.context, "anna")
    other.open(comparisons.of_visitor(lab.context.db, "anna")[0])
    assert "Hello there." in arena_html(other)
    assert len(lab.backend.asked) == asked
    async for _ in other.again(0):
        pass
    assert len(lab.backend.asked) == asked + 1
    assert [a.text for a in other.answers] == ["Hello there."] * 3


async def test_the_strip_and_the_known_answer(lab: Lab) -> None:
    from imitation import facts

    fact = facts.show_facts()[0]
    lab.backend.scripts["b"] = Script(["It is nowhere."])
    lab.backend.scripts["r"] = Script([f"It is {fact.answers[0]}."])
    lab.backend.scripts["i"] = Script([f"It is {fact.answers[0]}."])
    await lab.ask(fact.question)
    base, imitation, reference = arena_html(lab.session).split("<section")[1:]
    assert "Wrong" in base and "Words shared" in base and ">100%<" not in base
    assert "Right" in imitation and ">100%<" in imitation
    assert "Right" in reference and "Words shared" not in reference


def test_a_turn_a_column_left_unanswered_is_not_sent_again() -> None:
    turns = (Turn("A?", (Answer("a"), Answer())), Turn("B?", (Answer("b"), Answer("bb"))))
    assert [m.content for m in conversation("", turns, 1, "C?")] == ["B?", "bb", "C?"]
    assert [m.role for m in conversation(" ", turns, 0, "C?")] == ["user", "assistant"] * 2 + [
        "user"
    ]


async def test_what_is_being_prepared_is_shown_in_the_columns(lab: Lab) -> None:
    cards = [
        ModelSpec(id=n, name=n, role=r, backend="embedded") for n, r in ROLES.items() if n != "b2"
    ]
    lab.context.catalog = lambda: Catalog(cards)
    told = asyncio.Event()

    async def prepare(cards: object, progress: Progress) -> None:
        progress(0.43, "Fetching the weights")
        told.set()

    lab.backend.prepare = prepare
    stream = lab.backend.stream

    async def slow_stream(*args: object) -> AsyncGenerator[Event, None]:
        await told.wait()
        await asyncio.sleep(0.2)
        async with aclosing(stream(*args)) as events:
            async for event in events:
                yield event

    lab.backend.stream = slow_stream
    pages = await lab.ask()
    assert any("Fetching the weights, 43%" in html and "width:43%" in html for html in pages)
    assert "Fetching" not in pages[-1]


async def test_a_preparation_that_fails_leaves_the_columns_to_say_why(lab: Lab) -> None:
    async def prepare(cards: object, progress: Progress) -> None:
        raise BackendError("No weights.", "Go online.")

    lab.backend.prepare = prepare
    await lab.ask()
    assert [a.state for a in lab.session.answers] == ["done"] * 3


async def test_answers_stay_on_the_page_when_they_cannot_be_stored(lab: Lab) -> None:
    await lab.ask("One?")
    pages = lab.context.db.execute("PRAGMA page_count").fetchone()[0]
    with lab.context.db.writing():
        lab.context.db.execute(f"PRAGMA max_page_count = {pages}")
    lab.backend.scripts["b"] = Script(["x" * 100_000])
    with pytest.raises(StorageError, match="could not be saved"):
        await lab.ask("Two?")
    assert "x" * 100 in arena_html(lab.session)
    assert [c.turns[0].prompt for c in comparisons.of_visitor(lab.context.db, "anna")] == ["One?"]


async def test_what_is_asked_is_stored_before_it_is_answered(tmp_path: Path) -> None:
    lab = Lab(tmp_path, b=Script(["x"] * 1000, pause_s=0.01))
    steps = lab.session.ask(Question("Why?", NAMES))
    await anext(steps)
    identity = lab.session.comparison.id
    assert comparisons.load(lab.context.db, identity).turns[0].prompt == "Why?"
    # The page is loaded again while the one that was left still stores what was written.
    again = Session(lab.context, "anna")
    opening = asyncio.create_task(again.reopen(identity))
    await asyncio.sleep(0.2)
    await steps.aclose()
    await opening
    assert again.phase == "open" and again.answers[0].state == "stopped"
    assert again.answers[0].text.startswith("xxx") and again.answers[2].text == "Hello there."
    with pytest.raises(UserError, match="does not exist"):
        await Session(lab.context, "bert").reopen(identity)
    with pytest.raises(UserError, match="does not exist"):
        await Session(lab.context, "anna").reopen("nobody's")


async def test_a_comparison_that_was_never_ended_opens_as_stopped(lab: Lab) -> None:
    await lab.ask()
    ended = lab.session.comparison
    open_end = (Answer("half", state="streaming"), Answer(), Answer("x", state="done"))
    comparisons.save(lab.context.db, replace(ended, turns=(Turn("Why?", open_end),)))
    again = Session(lab.context, "anna")
    again.open(comparisons.load(lab.context.db, ended.id))
    assert [a.state for a in again.answers] == ["stopped", "stopped", "done"]
    assert "lab-caret" not in arena_html(again)


async def test_opening_another_in_mid_answer_keeps_what_was_written(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    await lab.ask("One?")
    first = lab.session.comparison
    lab.backend.scripts["b"] = Script(["x"] * 1000, pause_s=0.01)
    steps = lab.session.ask(Question("Two?", NAMES))
    async for _ in steps:
        if lab.session.answers[0].tokens > 3:
            break
    second = lab.session.comparison.id
    lab.session.open(first)
    await steps.aclose()
    assert lab.session.comparison.id == first.id
    stored = comparisons.load(lab.context.db, second)
    assert stored.turns[0].answers[0].text.startswith("xxx")
    assert comparisons.load(lab.context.db, first.id).turns[0].prompt == "One?"
