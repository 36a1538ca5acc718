"""Which answers are compared: pairs out of recorded outputs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

from imitation.errors import UserError
from imitation.values import Pair, RecordedPrompt, Recording


def pairs_of(
    recording: Recording,
    models: Sequence[str] = (),
    *,
    against: str = "",
    prompts: int | None = None,
    seed: int = 0,
) -> list[Pair]:
    """Pairs of two models' answers to the same prompt, prompt by prompt.

    Prompts inside a conversation are left out: their answers rest on what was said before.

    Args:
        recording: Prompts and answers.
        models: Those to compare; all of them where empty.
        against: Each of them with this one alone, as the paper does; "" for every two of them.
        prompts: So many of the prompts, drawn by the seed; all where None.
        seed: Of that draw.

    Raises:
        UserError: An unknown model.
    """
    chosen = list(dict.fromkeys(models or recording.models))
    for name in (*chosen, *filter(None, (against,))):
        if name not in recording.answers:
            known = ", ".join(map(repr, recording.models))
            raise UserError(f"There is no model {name!r} in the set.", f"Its models: {known}.")
    twos = (
        [(name, against) for name in chosen if name != against]
        if against
        else list(combinations(chosen, 2))
    )
    usable = [p for p in recording.prompts if not p.earlier and _answered(recording, p, twos)]
    if prompts is not None and prompts < len(usable):
        picked = set(random.Random(seed).sample(range(len(usable)), max(0, prompts)))
        usable = [prompt for at, prompt in enumerate(usable) if at in picked]
    return [
        Pair(prompt.text, (first, second), (answers[first][prompt.id], answers[second][prompt.id]))
        for prompt in usable
        for first, second in twos
        if prompt.id in (answers := recording.answers)[first] and prompt.id in answers[second]
    ]


def _answered(
    recording: Recording, prompt: RecordedPrompt, twos: Sequence[tuple[str, str]]
) -> bool:
    answers = recording.answers
    return any(prompt.id in answers[a] and prompt.id in answers[b] for a, b in twos)
