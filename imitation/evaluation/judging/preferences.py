"""What preferences come to: win rates, the effect of the order, agreement.

An item is one pair of answers to one prompt. Several verdicts on an item count once: its outcome
is what more than half of them say, and otherwise equal. So three raters decide by majority, and a
judge asked in both orders prefers an answer only where it does so twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from imitation.evaluation.statistics.intervals import mean_share, share
from imitation.values import Interval, Outcome, Pair, Preference

VOTE_DEFINITIONS: Mapping[str, str] = {
    "item": (
        "One pair of answers to one prompt. Several verdicts on it count once, as what more than "
        "half of them say, otherwise as equal."
    ),
    "win rate": "Share of items in which the model's answer was preferred, with Wilson's interval.",
    "equal or better": (
        "Share of items in which the model's answer was preferred or called equal; the paper's "
        "measure."
    ),
    "order effect": (
        "Of all verdicts that prefer one answer, the share that prefer the one shown first; 50% "
        "if the order doesn't matter."
    ),
    "consistent": (
        "Of the pairs a judge saw in both orders, the share in which it said the same both times."
    ),
    "agreement": (
        "Share of items on which both say the same of the three: one, the other, or equal. By "
        "chance: what two that say each as often, but at random, would reach."
    ),
}
_MIRROR: Mapping[Outcome, Outcome] = {"first": "second", "second": "first", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the verdicts on one item come to.

    Attributes:
        pair: The models in alphabetical order.
        outcome: By more than half of the verdicts, otherwise "tie".
        verdicts: How many there were.
    """

    pair: Pair
    outcome: Outcome
    verdicts: int


@dataclass(frozen=True, slots=True)
class WinRate:
    """One model against another.

    Attributes:
        model: Whose rate it is.
        other: The model it was compared with.
        wins: Items in which `model` was preferred.
        ties: Items called equal.
        losses: Items in which `other` was preferred.
    """

    model: str
    other: str
    wins: int
    ties: int
    losses: int

    @property
    def n(self) -> int:
        """Items."""
        return self.wins + self.ties + self.losses

    @property
    def better(self) -> Interval:
        """Share of items won."""
        return share(self.wins, self.n)

    @property
    def equal_or_better(self) -> Interval:
        """Share of items won or called equal."""
        return share(self.wins + self.ties, self.n)

    @property
    def mirrored(self) -> WinRate:
        """The other model's rate."""
        return WinRate(self.other, self.model, self.losses, self.ties, self.wins)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two say the same.

    Attributes:
        share: Of the items both judged.
        chance: What they would reach at random, None where nothing was judged by both.
    """

    share: Interval
    chance: float | None


def oriented(preference: Preference) -> tuple[Pair, Outcome]:
    """Pair and outcome with the models in alphabetical order."""
    pair, outcome = preference.pair, preference.outcome
    if (pair.models, pair.answers) <= (pair.models[::-1], pair.answers[::-1]):
        return pair, outcome
    return pair.swapped, _MIRROR[outcome]


def decide(preferences: Iterable[Preference]) -> list[Decision]:
    """One decision per item, in the order the items first come."""
    pairs: dict[str, Pair] = {}
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for preference in preferences:
        if preference.pair.models[0] == preference.pair.models[1]:
            continue
        pair, outcome = oriented(preference)
        key = pair.key
        pairs.setdefault(key, pair)
        outcomes[key].append(outcome)
    return [Decision(pairs[key], majority(of), len(of)) for key, of in outcomes.items()]


def majority(outcomes: Sequence[Outcome]) -> Outcome:
    """What more than half say, otherwise "tie"."""
    outcome, n = Counter(outcomes).most_common(1)[0]
    return outcome if 2 * n > len(outcomes) else "tie"


def win_rates(decisions: Iterable[Decision]) -> list[WinRate]:
    """One per pair of models that met, most items first."""
    tallies: dict[tuple[str, str], Counter[Outcome]] = defaultdict(Counter)
    for decision in decisions:
        tallies[decision.pair.models][decision.outcome] += 1
    rates = [
        WinRate(model, other, tally["first"], tally["tie"], tally["second"])
        for (model, other), tally in tallies.items()
    ]
    return sorted(rates, key=lambda rate: (-rate.n, rate.model, rate.other))


def against(decisions: Iterable[Decision], reference: str) -> list[WinRate]:
    """Every other model's rate against one."""
    rates = [rate for rate in win_rates(decisions) if reference in (rate.model, rate.other)]
    return [rate if rate.other == reference else rate.mirrored for rate in rates]


def order_effect(preferences: Iterable[Preference]) -> Interval:
    """Share of verdicts for the answer shown first, among those that prefer one."""
    outcomes = Counter(preference.outcome for preference in preferences)
    return share(outcomes["first"], outcomes["first"] + outcomes["second"])


def consistency(preferences: Iterable[Preference]) -> Interval:
    """Share of pairs on which a rater who saw both orders said the same twice."""
    seen: dict[tuple[str, str], dict[tuple[str, str], Outcome]] = defaultdict(dict)
    for preference in preferences:
        shown, (_, outcome) = preference.pair.models, oriented(preference)
        seen[preference.rater, preference.pair.key][shown] = outcome
    both = [list(orders.values()) for orders in seen.values() if len(orders) == 2]
    return share(sum(first == second for first, second in both), len(both))


def agreement_within(preferences: Iterable[Preference]) -> Agreement:
    """How often two raters of the same item say the same.

    An item with several raters counts once, as the share of its pairs of raters that agree.
    """
    by_item = _by_rater(preferences)
    shares, every = [], Counter[Outcome]()
    for outcomes in by_item.values():
        voices = list(outcomes.values())
        if len(voices) < 2:
            continue
        every.update(voices)
        twos = list(combinations(voices, 2))
        shares.append(sum(a == b for a, b in twos) / len(twos))
    total = every.total()
    chance = sum((n / total) ** 2 for n in every.values()) if total else None
    return Agreement(mean_share(shares), chance)


def agreement_between(party: Iterable[Decision], other: Iterable[Decision]) -> Agreement:
    """How often two parties decide the same, over the items both decided."""
    first = {decision.pair.key: decision.outcome for decision in party}
    second = {decision.pair.key: decision.outcome for decision in other}
    both = [(first[key], second[key]) for key in first if key in second]
    if not both:
        return Agreement(share(0, 0), None)
    left, right = (Counter(side) for side in zip(*both, strict=True))
    chance = sum(left[o] * right[o] for o in _MIRROR) / len(both) ** 2
    return Agreement(share(sum(a == b for a, b in both), len(both)), chance)


def _by_rater(preferences: Iterable[Preference]) -> dict[str, dict[str, Outcome]]:
    """Item -> rater -> what they said of it, by majority where they said it several times."""
    outcomes: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for preference in preferences:
        pair, outcome = oriented(preference)
        outcomes[pair.key][preference.rater].append(outcome)
    return {
        key: {rater: majority(of) for rater, of in raters.items()}
        for key, raters in outcomes.items()
    }
