"""What was measured in this lab, as the figures take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imitation.values import Interval, Role

PAPER_NAMES: Mapping[str, str] = {
    "mmlu": "MMLU",
    "lab_nq": "Natural Questions",
    "humaneval": "HumanEval",
    "lab_humaneval": "HumanEval",
    "lab_realtoxicity": "non-toxicity",
}
"""Tasks that the paper reports, by the names of its records.

lm-eval's own `nq_open` is none of them: its stops put answers out of reach that the paper counts.
"""


@dataclass(frozen=True, slots=True)
class LocalScore:
    """The main score of one model on one task of one run, with the gap it closes.

    Attributes:
        run: Id of the run's job.
        run_name: As chosen.
        created: When it was started, seconds since 1970.
        task: lm-eval's name.
        metric: lm-eval's name.
        how: Shots, kind and template in words.
        model: Id.
        name: What people read.
        role: base, imitation or reference.
        base: Id of the base of an imitation.
        params_b: Parameters in billions, None where unknown.
        tokens_m: Imitation tokens in millions, None where unknown.
        stand_in: A pocket stand-in.
        value: The score, with interval and n.
        closed: Of an imitation: the share of the gap, without a value where undefined.
        undefined: Why it is.
        notes: What a reader must know of the share, in sentences.
        not_alike: How this score and the run's others on the task were not measured alike.
    """

    run: str
    run_name: str
    created: float
    task: str
    metric: str
    how: str
    model: str
    name: str
    role: Role
    base: str
    params_b: float | None
    tokens_m: float | None
    stand_in: bool
    value: Interval
    closed: Interval | None = None
    undefined: str = ""
    notes: tuple[str, ...] = ()
    not_alike: tuple[str, ...] = ()

    @property
    def paper(self) -> str:
        """The paper's name of the benchmark, "" where it does not report it."""
        return PAPER_NAMES.get(self.task, "")
