"""What a browser tab is looking at on the Compare page, and what its visitor may do with it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Literal

from dashboards.compare.question import Question
from dashboards.shell.context import Context
from dashboards.shell.model_choice import MAX_COLUMNS, MIN_COLUMNS
from imitation.errors import StorageError, UserError
from imitation.models.streaming import Round, check_sampling, conversation
from imitation.storage import comparisons, votes
from imitation.storage.comparisons import Comparison
from imitation.text import clean
from imitation.values import Answer, ModelSpec, Turn

Phase = Literal["idle", "running", "void", "vote", "guess", "open"]
log = logging.getLogger(__name__)
_UNENDED = ("waiting", "streaming")
_shuffle = random.SystemRandom().shuffle


class Session:
    """What one browser tab is looking at.

    Phases: "idle" (nothing asked), "running", "void" (blind, a column failed: no vote),
    "vote" (blind, not voted), "guess" (blind, voted, which one is the reference?) and "open".
    """

    def __init__(self, context: Context, visitor: str = "") -> None:
        self._context = context
        self.visitor = visitor
        self.comparison: Comparison | None = None
        self.round: Round | None = None

    @property
    def own(self) -> bool:
        """True where the comparison shown is this visitor's (it may be a shared one)."""
        return self.comparison is not None and self.comparison.visitor == self.visitor

    @property
    def answers(self) -> Sequence[Answer]:
        """Answers of the last turn, in column order."""
        if self.round is not None:
            return self.round.answers
        if self.comparison and self.comparison.turns:
            return self.comparison.turns[-1].answers
        return ()

    @property
    def phase(self) -> Phase:
        """Where the visitor stands; see the class."""
        comparison = self.comparison
        if comparison is None:
            return "idle"
        if self.round is not None and self.round.running:
            return "running"
        if not comparison.blind:
            return "open"
        if any(answer.state == "failed" for answer in self.answers):
            return "void"
        if "preference" not in self.voted():
            return "vote"
        return "guess"

    def voted(self) -> dict[str, str]:
        """Votes already given on the last turn, by kind."""
        return votes.voted(self._context.db, self.comparison) if self.comparison else {}

    def shown(self) -> list[Answer]:
        """Answers as they may be shown now.

        While names are hidden, all columns advance together: none is shown further than the
        slowest unfinished one has come, so that speed and order of arrival tell nothing.
        """
        answers = list(self.answers)
        if self.comparison is None or not self.comparison.blind or self.phase != "running":
            return answers
        writing = [len(a.text) for a in answers if a.state in ("waiting", "streaming")]
        frontier = min(writing, default=0)
        return [Answer(text=answer.text[:frontier], state="streaming") for answer in answers]

    async def ask(self, question: Question) -> AsyncGenerator[None, None]:
        """Ask all columns; yields whenever there is something new to show.

        Raises:
            UserError: Nothing to ask, wrong number of models, unknown model, still running.
        """
        if self.phase == "running":
            raise UserError("The last question is still being answered.", "Stop it first, or wait.")
        question = dataclasses.replace(
            question, system=clean(question.system), sampling=check_sampling(question.sampling)
        )
        prompt = clean(question.prompt.replace("\x00", "").strip())
        if not prompt:
            raise UserError("There is no question yet.", "Type one, or pick an example.")
        comparison = self._continued(question) or self._begun(question)
        messages = [
            conversation(comparison.system, comparison.turns, index, prompt)
            for index in range(len(comparison.cards))
        ]
        waiting = Turn(prompt, tuple(Answer() for _ in comparison.cards))
        self.comparison = dataclasses.replace(comparison, turns=(*comparison.turns, waiting))
        # What was asked is kept before it is answered; where that fails, the answers' turn tells.
        with suppress(StorageError):
            self._save(self.comparison)
        self.round = Round(self._context.backends, comparison.cards, messages, comparison.sampling)
        self.round.start()
        async with aclosing(self._watch(self.round)) as steps:
            async for _ in steps:
                yield

    async def again(self, column: int | None = None) -> AsyncGenerator[None, None]:
        """Answer the last turn again, in one column or all.

        While names are hidden all columns are asked again in a fresh order, since which of them
        failed would tell something.

        Raises:
            UserError: Nothing was asked, or it is somebody else's comparison.
        """
        comparison = self._mine()
        if self.round is None or self.round.cards != comparison.cards:
            turn = comparison.turns[-1]
            self.round = self._round_for(comparison)
            self.round.answers = list(turn.answers)
        if comparison.blind and not self.round.running:
            self.comparison = comparison = _reordered(comparison)
            self.round = self._round_for(comparison)
            column = None
        watched = self.round.running
        self.round.start(column)
        if watched:  # the handler that watches already shows this column too
            return
        async with aclosing(self._watch(self.round)) as steps:
            async for _ in steps:
                yield

    def stop(self, column: int | None = None) -> None:
        """Stop one column, or all; what was written stays."""
        if self.round is not None:
            self.round.stop(column)

    def vote(self, choice: str) -> None:
        """Vote for a column (its position as a string), "tie" or "all bad".

        Raises:
            UserError: Still running, a column failed, not the visitor's, or voted already.
            StorageError: The vote could not be stored; nothing is revealed then.
        """
        comparison = self._ready_to_vote()
        if choice not in (votes.TIE, votes.ALL_BAD):
            choice = self._column(choice).id
        votes.add(self._context.db, comparison, "preference", choice)
        if comparison.blind and not any(card.role == "reference" for card in comparison.cards):
            self.reveal()

    def guess(self, choice: str) -> bool:
        """Guess which column is the reference, then reveal; True if right.

        Raises:
            UserError: As for `vote`, or names are shown already.
        """
        comparison = self._ready_to_vote()
        if not comparison.blind:
            raise UserError("The names are shown already.", "Ask in a blind test to guess.")
        card = self._column(choice)
        votes.add(self._context.db, comparison, "reference", card.id)
        self.reveal()
        return card.role == "reference"

    def reveal(self) -> None:
        """Show the names; ends the voting of a blind turn."""
        self.comparison = dataclasses.replace(self._mine(), blind=False)
        comparisons.save(self._context.db, self.comparison)

    def share(self) -> str:
        """Id of the public link of what is shown.

        Raises:
            UserError: Nothing to share, names still hidden, or somebody else's.
        """
        comparison = self._mine()
        if comparison.blind:
            raise UserError("The names are still hidden.", "Vote or reveal first, then share.")
        share = comparisons.share(self._context.db, comparison.id, self.visitor)
        if share is None:
            raise UserError("This comparison is no longer stored.", "Ask again, then share.")
        self.comparison = dataclasses.replace(comparison, share=share)
        return share

    def unshare(self) -> None:
        """Withdraw the public link."""
        comparison = self._mine()
        comparisons.unshare(self._context.db, comparison.id, self.visitor)
        self.comparison = dataclasses.replace(comparison, share=None)

    def open(self, comparison: Comparison | None) -> None:
        """Show a stored comparison without generating anything.

        Raises:
            UserError: There is none.
        """
        if comparison is None:
            raise UserError(
                "This comparison does not exist.", "It may have been deleted by its maker."
            )
        if self.round is not None and self.round.running:
            self.stop()
            self._keep(self.round)
        self.round = None
        # Answers that were never ended (the app was killed, say) are ended now.
        turns = tuple(
            dataclasses.replace(turn, answers=_ended(turn.answers)) for turn in comparison.turns
        )
        self.comparison = dataclasses.replace(comparison, turns=turns)

    async def reopen(self, identity: str) -> None:
        """Show one's own comparison again, after the page was loaded again.

        The page that was left may just be storing what had been written.

        Raises:
            UserError: There is none.
        """
        for _ in range(30):
            item = comparisons.load(self._context.db, identity)
            if item is None or not any(a.state in _UNENDED for t in item.turns for a in t.answers):
                break
            await asyncio.sleep(0.1)
        self.open(item if item and item.visitor == self.visitor else None)

    async def _watch(self, running: Round) -> AsyncGenerator[None, None]:
        try:
            async with aclosing(running.watch()) as snapshots:
                async for _ in snapshots:
                    yield
        finally:
            self._keep(running)

    def _keep(self, ended: Round) -> None:
        """Store what a round came to, however it ended."""
        if self.comparison is None or ended is not self.round:
            return
        last = dataclasses.replace(self.comparison.turns[-1], answers=_ended(ended.answers))
        self.comparison = dataclasses.replace(
            self.comparison, turns=(*self.comparison.turns[:-1], last)
        )
        self._save(self.comparison)

    def _save(self, comparison: Comparison) -> None:
        try:
            comparisons.save(self._context.db, comparison)
        except UserError:
            raise
        except Exception as error:
            log.exception("saving a comparison failed")
            raise StorageError(
                f"The answers could not be saved ({type(error).__name__}).",
                "They stay on the page until you leave it; the whole error is in the app's log.",
            ) from error

    def _continued(self, question: Question) -> Comparison | None:
        """The present comparison, if the question carries it on with the same models."""
        if not question.follow_up or not self.own or self.comparison is None:
            return None
        if {card.id for card in self.comparison.cards} != set(question.models):
            return None
        return dataclasses.replace(
            self.comparison, system=question.system, sampling=question.sampling
        )

    def _begun(self, question: Question) -> Comparison:
        ids = list(dict.fromkeys(question.models))
        if not MIN_COLUMNS <= len(ids) <= MAX_COLUMNS:
            raise UserError(
                f"{len(ids)} models are chosen.", f"Choose {MIN_COLUMNS} to {MAX_COLUMNS} models."
            )
        catalog = self._context.catalog()
        cards = [catalog[name] for name in ids]
        if question.blind:
            _shuffle(cards)
        return Comparison(
            id=comparisons.new_id(),
            visitor=self.visitor,
            cards=tuple(cards),
            blind=question.blind,
            system=question.system,
            sampling=question.sampling,
        )

    def _round_for(self, comparison: Comparison) -> Round:
        *earlier, last = comparison.turns
        messages = [
            conversation(comparison.system, earlier, index, last.prompt)
            for index in range(len(comparison.cards))
        ]
        return Round(self._context.backends, comparison.cards, messages, comparison.sampling)

    def _mine(self) -> Comparison:
        if self.comparison is None or not self.comparison.turns:
            raise UserError("Nothing has been asked yet.", "Ask something first.")
        if not self.own:
            raise UserError(
                "This is somebody else's comparison.", "Ask the question yourself to go on."
            )
        return self.comparison

    def _ready_to_vote(self) -> Comparison:
        self._mine()
        if self.phase == "running":
            raise UserError("The answers are still being written.", "Vote when all have ended.")
        if any(answer.state == "failed" for answer in self.answers):
            raise UserError("A column failed, so there is no fair vote.", "Ask again.")
        if self.round is not None:
            self._keep(self.round)
        return self._mine()

    def _column(self, position: str) -> ModelSpec:
        comparison = self._mine()
        if not position.isdigit() or int(position) >= len(comparison.cards):
            raise UserError(f"There is no column {position!r}.", "Vote for a column shown.")
        return comparison.cards[int(position)]


def _ended(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Answers of a round that is over: what was still being written counts as stopped."""
    return tuple(
        dataclasses.replace(a, state="stopped") if a.state in _UNENDED else a for a in answers
    )


def _reordered(comparison: Comparison) -> Comparison:
    """The comparison with its columns, and their answers, in a fresh random order."""
    order = list(range(len(comparison.cards)))
    _shuffle(order)
    return dataclasses.replace(
        comparison,
        cards=tuple(comparison.cards[i] for i in order),
        turns=tuple(
            dataclasses.replace(turn, answers=tuple(turn.answers[i] for i in order))
            for turn in comparison.turns
        ),
    )
