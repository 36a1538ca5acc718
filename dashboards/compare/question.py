"""What a visitor asks for on the Compare page."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from imitation.errors import UserError
from imitation.values import Sampling


@dataclass(frozen=True, slots=True)
class Question:
    """What the visitor asks for.

    Attributes:
        prompt: The question.
        models: Card ids, in the order of the columns.
        blind: Hide names and shuffle.
        system: System prompt.
        sampling: How answers are drawn.
        follow_up: Continue the conversation rather than begin a new one.
    """

    prompt: str
    models: tuple[str, ...]
    blind: bool = False
    system: str = ""
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    follow_up: bool = False

    def seeded(self, text: str) -> Question:
        """The question with the seed somebody typed, itself if none was.

        Raises:
            UserError: It is not a whole number.
        """
        if not text.strip():
            return self
        try:
            seed = int(text)
        except ValueError:
            raise UserError(
                f"The seed {text!r} is not a whole number.", "Leave it empty?"
            ) from None
        return dataclasses.replace(self, sampling=dataclasses.replace(self.sampling, seed=seed))
