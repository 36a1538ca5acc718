import json
import time

import pytest

from imitation.jobs.queue.progress import RECENT, Progress, Reader, tail


def step(n, steps=100, **values):
    line = {"event": "step", "elapsed_s": 2.0 * n, "step": n, "steps": steps, "loss": 3.0 / n}
    return {**line, "learning_rate": 1e-3, "tokens": 50 * n, "trained_tokens": 20 * n, **values}


def write(path, *lines, mode="a"):
    with path.open(mode) as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)


def test_nothing_is_known_before_the_file_is_there(tmp_path):
    progress = Reader(tmp_path / "none").read()
    assert (progress.event, progress.share, progress.eta_s, progress.tokens_per_s) == (
        "", None, None, None,
    )  # fmt: skip


def test_speed_and_time_left(tmp_path):
    path = tmp_path / "p.jsonl"
    write(path, {"event": "setup", "elapsed_s": 9.0, "dtype": "float32"})
    write(path, *(step(n) for n in range(1, 41)), {"event": "validation", "step": 40, "loss": 2.5})
    progress = Reader(path).read()
    assert progress.share == 0.4
    assert progress.eta_s == pytest.approx(60 * 2.0)
    assert progress.tokens_per_s == pytest.approx(25.0)
    assert progress.loss[:2] == [(1, 3.0), (2, 1.5)]
    assert progress.learning_rate[-1] == (40, 1e-3)
    assert progress.validation == [(40, 2.5)]
    assert (progress.event, progress.tokens, progress.trained_tokens) == ("validation", 2000, 800)


def test_speed_is_that_of_the_last_steps():
    progress = Progress()
    for n in range(1, 200):
        slow = 100.0 if n > 50 else 0.0
        progress.add(step(n, 400, elapsed_s=slow + 1.0 * n))
    assert progress.eta_s == pytest.approx(201.0)
    assert len(progress._recent) == RECENT + 1


def test_half_a_line_waits_for_its_other_half(tmp_path):
    path = tmp_path / "p.jsonl"
    reader = Reader(path)
    text = json.dumps(step(1)) + "\n" + json.dumps(step(2)) + "\n"
    seen = []
    for n in range(0, len(text), 7):
        with path.open("a") as out:
            out.write(text[n : n + 7])
        seen.append(reader.read().step)
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2}
    assert reader.read().loss == [(1, 3.0), (2, 1.5)]


def test_what_is_no_line_of_ours_is_passed_over(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(
        b'{"event": "step", "step": 1, "steps": 9, "loss": 2}\n{"event": "st\n[1]\nnull\n\xff\xfe\n'
        b'\n{"step": 2, "steps": 9, "loss": NaN}\n{"step": "3", "loss": 1}\n{"step": true}\n'
        b'{"event": "step", "step": 4, "steps": 9, "loss": "low"}\n'
    )
    progress = Reader(path).read()
    assert (progress.step, progress.steps) == (4, 9)
    assert progress.loss == [(1, 2.0)], "a loss that is no number is not drawn"


def test_scores_are_read_with_their_n_and_done_again_after_a_resume(tmp_path):
    path = tmp_path / "p.jsonl"
    facts = {"event": "score", "step": 2, "name": "facts", "value": 0.5, "low": 0.1, "high": 0.9}
    write(path, step(1), {**facts, "n": 4}, facts, {**facts, "n": 0}, {**facts, "n": 4, "step": 9})
    reader = Reader(path)
    scores = reader.read().scores
    assert [(at, value.n) for at, value in scores["facts"]] == [(2, 4), (9, 4)]
    write(path, step(2), step(2))
    assert reader.read().scores["facts"] == []


def test_a_failure_is_read(tmp_path):
    path = tmp_path / "p.jsonl"
    write(path, step(1), {"event": "failed", "message": "Loss is nan", "hint": "Lower it."})
    assert Reader(path).read().failure == ("Loss is nan", "Lower it.")


def test_a_file_begun_anew_is_read_anew(tmp_path):
    path = tmp_path / "p.jsonl"
    write(path, *(step(n) for n in range(1, 30)))
    reader = Reader(path)
    assert reader.read().step == 29
    write(path, step(1), mode="w")
    assert reader.read().loss == [(1, 3.0)]
    other = tmp_path / "other"
    write(other, *(step(n, loss=7.0) for n in range(1, 5)))
    other.rename(path)
    assert reader.read().loss[0] == (1, 7.0)
    path.unlink()
    assert reader.read().step == 4, "what was read stays known"


def test_steps_done_again_after_a_resume_replace_the_first_ones(tmp_path):
    path = tmp_path / "p.jsonl"
    write(path, *(step(n) for n in range(1, 9)), {"event": "validation", "step": 8, "loss": 1.0})
    assert Reader(path).read().resumed is None
    write(path, {"event": "resumed", "step": 5, "steps": 100})
    write(path, step(6, loss=0.5, elapsed_s=1.0), step(7, loss=0.4, elapsed_s=2.0))
    progress = Reader(path).read()
    assert [n for n, _ in progress.loss] == [1, 2, 3, 4, 5, 6, 7]
    assert progress.loss[-2:] == [(6, 0.5), (7, 0.4)]
    assert progress.validation == []
    assert progress.resumed == 5
    assert progress.eta_s == pytest.approx(93.0)


def test_thousands_of_lines_are_read_as_they_come_and_fast(tmp_path):
    path = tmp_path / "p.jsonl"
    write(path, *(step(n, 30_000) for n in range(1, 20_001)))
    reader = Reader(path)
    began = time.process_time()
    assert len(reader.read().loss) == 20_000
    assert time.process_time() - began < 2.0
    began = time.process_time()
    for n in range(20_001, 20_201):
        write(path, step(n, 30_000))
        assert reader.read().step == n
    assert (time.process_time() - began) / 200 < 0.005, "a look reads what is new, not all of it"


def test_the_tail_of_a_log(tmp_path):
    path = tmp_path / "log"
    assert tail(path) == ""
    path.write_bytes(b"first\r\n 10%\r 50%\r100%\nlast \xe2\x9c\x93 \xff")
    assert tail(path) == "first\n100%\nlast ✓ �"
    path.write_bytes(b"".join(b"line %d\n" % n for n in range(100_000)))
    text = tail(path, 1000)
    assert text.endswith("line 99998\nline 99999\n")
    assert text.startswith("line ") and len(text) <= 1000
    path.write_bytes(b"x" * 5000)
    assert tail(path, 100) == "x" * 100, "one line longer than the tail"
