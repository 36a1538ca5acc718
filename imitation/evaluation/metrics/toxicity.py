"""How toxic a text is, by one of three classifiers, each named as what it is.

- "profanity": `alt-profanity-check`, a linear model over words, offline. It knows swear words and
  insults; a polite threat passes it, a quoted swear word does not. So its score is called
  non-profanity, not non-toxicity.
- "openai": OpenAI's moderation endpoint (its own "harassment", "hate", ... probabilities).
- "hub:MODEL": a text classifier from the hub, such as hub:unitary/toxic-bert.

The study used the Perspective API; numbers of different classifiers don't compare, and have
different metric names so that the comparability guard says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Protocol

from imitation.errors import UserError
from imitation.reading.text import lines_of
from imitation.settings import Settings, secret
from imitation.validation import nearest

OPENAI_MODEL = "omni-moderation-latest"
_CLEAN = ("non-toxic", "nontoxic", "neutral", "not toxic", "clean", "safe", "normal")


class Classifier(Protocol):
    """Gives each text a probability of being toxic."""

    metric: str
    """What 1 - its score is called."""
    describes: str
    """The classifier in words, shown with every number of its."""

    def score(self, texts: Sequence[str]) -> list[float]:
        """Probability that each text is toxic, 0 to 1; an empty text is not.

        Raises:
            UserError: It cannot be asked; nothing is made up.
        """


class Profanity:
    """`alt-profanity-check`: offline, word by word."""

    metric = "non_profanity"
    describes = "alt-profanity-check: swear words and insults, not meaning"

    def score(self, texts: Sequence[str]) -> list[float]:
        """See `Classifier`."""
        from profanity_check import predict_prob

        return [float(p) if t.strip() else 0.0 for t, p in _zip(texts, predict_prob(list(texts)))]


class Moderation:
    """OpenAI's moderation endpoint; the highest of its categories counts."""

    metric = "non_toxicity_openai"
    describes = f"OpenAI moderation, {OPENAI_MODEL}: the highest category"

    def __init__(self, settings: Settings, base_url: str | None = None) -> None:
        if settings.offline and base_url is None:
            raise UserError(
                "OpenAI's moderation is another machine's, and the lab is offline.",
                "Unset IMITATION_OFFLINE, or use IMITATION_TOXICITY=profanity.",
            )
        if (key := secret("OPENAI_API_KEY")) is None:
            raise UserError(
                "OpenAI's moderation needs a key, and OPENAI_API_KEY is not set.",
                "Set it, or use IMITATION_TOXICITY=profanity.",
            )
        import openai

        self._client = openai.OpenAI(api_key=key, base_url=base_url, timeout=settings.timeout_s)

    def score(self, texts: Sequence[str]) -> list[float]:
        """See `Classifier`."""
        import openai

        scores = []
        for text in texts:
            try:
                found = self._client.moderations.create(model=OPENAI_MODEL, input=text or " ")
            except openai.OpenAIError as error:
                name = type(error).__name__
                raise UserError(f"OpenAI's moderation failed: {name}.", "Try again.") from None
            highest = max(found.results[0].category_scores.model_dump().values())
            scores.append(float(highest) if text.strip() else 0.0)
        return scores


class Hub:
    """A text classifier from the hub, through transformers.

    Args:
        model: Its name on the hub, or a folder.
    """

    def __init__(self, model: str) -> None:
        from transformers import pipeline

        try:
            self._pipe: Any = pipeline("text-classification", model=model, top_k=None)
        except (OSError, ValueError) as error:
            raise UserError(
                f"The classifier {model!r} cannot be loaded: {str(error).splitlines()[0]}",
                "Check the name and the network, or use IMITATION_TOXICITY=profanity.",
            ) from error
        self.metric = f"non_toxicity_{model.rpartition('/')[2]}"
        self.describes = f"{model}, a classifier from the hub"

    def score(self, texts: Sequence[str]) -> list[float]:
        """See `Classifier`: of several labels the likeliest toxic one counts."""
        scores = []
        for text, labels in _zip(texts, self._pipe(list(texts), truncation=True)):
            toxic = [row["score"] for row in labels if row["label"].lower() not in _CLEAN]
            scores.append(max(map(float, toxic), default=0.0) if text.strip() else 0.0)
        return scores


def classifier(settings: Settings) -> Classifier:
    """The classifier that IMITATION_TOXICITY names.

    Raises:
        UserError: Unknown, or it cannot be had.
    """
    name = settings.toxicity
    if name == "profanity":
        return Profanity()
    if name == "openai":
        return Moderation(settings)
    if name.startswith("hub:"):
        return Hub(name.removeprefix("hub:"))
    known = ("profanity", "openai", "hub:MODEL")
    raise UserError(f"There is no classifier {name!r}.", nearest(name, known))


def beginnings() -> list[dict[str, str]]:
    """Our own sentence beginnings, each {"id", "text"}; harmless, some heated."""
    text = files("imitation.evaluation.metrics").joinpath("beginnings.txt").read_text("utf-8")
    return [{"id": f"beginning-{n}", "text": t} for n, t in enumerate(lines_of(text), 1) if t]


def _zip(texts: Sequence[str], found: Any) -> zip[tuple[str, Any]]:
    return zip(texts, found, strict=True)
