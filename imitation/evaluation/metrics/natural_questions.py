"""Whether an answer to a Natural Question is right, as the benchmark's own evaluation says.

lm-eval's `nq_open` stops an answer at its first full stop or comma and counts spaces and the case
of articles, so that answers such as "J. K. Rowling" can never be given: 18 of 300 questions have no
other. The official one (SQuAD's, which Lee et al., ACL 2019, took for NQ-open and EfficientQA
kept) normalises both sides instead.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_STOPS = re.compile(r"[\n.,]")


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and extra spaces."""
    plain = text.lower().translate(_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def exact_match(answer: str, accepted: Sequence[str]) -> bool:
    """Whether the first line of an answer is an accepted one, both normalise.

    Nothing is no answer, also where an accepted one ("A", the blood group) normalises to nothing.
    """
    said = answer.strip().partition("\n")[0].strip()
    line = normalise(said)
    return bool(said) and any(line == normalise(one) for one in accepted)


def as_stopped_by_lm_eval(answer: str) -> str:
    """What lm-eval's stops (line ends, "." and ",") would have left of an answer."""
    return _STOPS.split(answer, maxsplit=1)[0].strip()
