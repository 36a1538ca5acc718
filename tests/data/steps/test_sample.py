"""Token budgets and mixtures."""

import pytest

from imitation.data.steps.sample import estimated_tokens, mix, sample_tokens, tokens_of
from imitation.values import Example, Message


def words(text):
    return len(text.split())


def talk(source, number, size):
    """A conversation of `size` words in all."""
    turns = (Message("user", "q"), Message("assistant", "w " * (size - 1)))
    return Example(turns, source, f"{source}{number}")


def tokens(examples, source=None):
    return sum(tokens_of(e, words) for e in examples if source in (None, e.source))


A = [talk("a", n, 5 + n % 20) for n in range(300)]
B = [talk("b", n, 30) for n in range(100)]


def test_a_budget_is_filled_in_the_order_given():
    outcome = sample_tokens(A, 1000, 0, words)
    assert 995 < tokens(outcome.kept) <= 1000
    assert [e for e in A if e in outcome.kept] == outcome.kept
    assert outcome.reasons == {"over the token budget": len(A) - len(outcome.kept)}


def test_without_a_budget_nothing_is_said_to_be_over_it():
    outcome = mix([*A, *B], [("a", 3.0), ("b", 1.0)], 0, words)
    assert list(outcome.reasons) == ["beyond its source's share"]
    assert sample_tokens(A, 10**6, 0, words).kept == A
    assert sample_tokens(A, 4, 0, words).kept == []


def test_the_seed_decides():
    first, again, other = (sample_tokens(A, 1000, seed, words).kept for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("budget", [None, 3000])
def test_a_mixture_has_its_shares(budget):
    kept = mix(A + B, [("a", 3), ("b", 1)], 0, words, budget).kept
    assert tokens(kept, "a") / tokens(kept) == pytest.approx(0.75, abs=0.01)
    if budget:
        assert tokens(kept) == pytest.approx(budget, rel=0.02)
    else:
        assert tokens(kept, "a") > 0.99 * tokens(A), "the scarcest source is used up"


def test_a_scarce_source_gives_all_and_weight_0_nothing():
    kept = mix(A + B, [("a", 1), ("b", 1)], 0, words, 10**6).kept
    assert kept == A + B
    assert mix(A + B, [("a", 1), ("b", 0)], 0, words).kept == A


def test_the_estimate():
    assert [estimated_tokens(text) for text in ("", "a", "abcd", "abcde", "ää")] == [0, 1, 1, 2, 1]
