"""What answers cost, and whose terms they fall under."""

from __future__ import annotations

from dataclasses import dataclass

from imitation.values import ModelSpec


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; None where not known.

    Attributes:
        prompt: Of prompts.
        answer: Of answers.
    """

    prompt: float | None = None
    answer: float | None = None

    def of(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """Dollars for so many tokens; None where a price that counts is not known."""
        parts = ((self.prompt, prompt_tokens), (self.answer, answer_tokens))
        if any(price is None and tokens for price, tokens in parts):
            return None
        return sum((price or 0.0) * tokens for price, tokens in parts) / 1e6


def price_of(card: ModelSpec, prompt: float | None = None, answer: float | None = None) -> Price:
    """The price that was typed, else the card's."""
    return Price(
        card.price_in if prompt is None else prompt, card.price_out if answer is None else answer
    )


def dollars(value: float | None) -> str:
    """A cost in words; "unknown" where it is."""
    if value is None:
        return "unknown"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.2g}"


def terms_may_forbid(card: ModelSpec) -> bool:
    """Whether its owner's terms may forbid training on its answers.

    So it is taken to be unless the weights are here or the card states an open licence.
    """
    licence = card.licence.lower()
    stated = bool(licence) and not any(word in licence for word in ("proprietary", "terms"))
    return card.backend != "embedded" and not stated
