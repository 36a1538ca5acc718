"""Batches: every conversation once a pass, padding without attention or label."""

import torch

from imitation.data.encode import IGNORE_INDEX, Encoded, pack
from training.collate import all_batches, batches, collate, collate_joined, micro_batches


def encoded(n):
    return Encoded(str(n), tuple(range(1, n + 1)), (IGNORE_INDEX, *range(2, n + 1)))


def test_a_pass_has_every_conversation_once_and_the_same_order_under_a_seed():
    examples = [encoded(n) for n in range(2, 12)]

    def one_pass(seed):
        generator = torch.Generator().manual_seed(seed)
        return [[e.id for e in b] for b in batches(examples, 4, generator)]

    assert [len(b) for b in one_pass(0)] == [4, 4, 2]
    assert sorted(i for ids in one_pass(0) for i in ids) == sorted(e.id for e in examples)
    assert one_pass(0) == one_pass(0) != one_pass(1)


def test_micro_batches_hold_the_batch_by_length():
    parts = list(micro_batches([encoded(n) for n in (9, 2, 7, 3, 5)], 2))
    assert [[len(e.ids) for e in part] for part in parts] == [[2, 3], [5, 7], [9]]


def test_padding():
    out = collate([encoded(3), encoded(5)], pad=0)
    assert out["input_ids"].tolist() == [[1, 2, 3, 0, 0], [1, 2, 3, 4, 5]]
    assert out["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert out["labels"].tolist() == [
        [IGNORE_INDEX, 2, 3, IGNORE_INDEX, IGNORE_INDEX],
        [IGNORE_INDEX, 2, 3, 4, 5],
    ]


def test_a_packed_row_has_no_padding_and_positions_of_its_own():
    row = collate_joined(pack([encoded(3), encoded(2), encoded(4)], 6))
    assert row["lengths"] == [3, 2, 4] or sorted(row["lengths"]) == [2, 3, 4]
    assert row["input_ids"].shape == (1, 9)
    for start in (row["position_ids"][0] == 0).nonzero().flatten().tolist():
        assert row["labels"][0, start] == IGNORE_INDEX
    assert int((row["labels"] != IGNORE_INDEX).sum()) == 2 + 1 + 3


def test_the_steps_of_a_run_follow_from_its_seed():
    examples = [encoded(n) for n in range(2, 7)]
    plan = all_batches(examples, 2, 2, seed=3)
    assert [epoch for epoch, _ in plan] == [1, 1, 1, 2, 2, 2]
    assert plan == all_batches(examples, 2, 2, seed=3) != all_batches(examples, 2, 2, seed=4)
    assert plan[:3] != plan[3:]
