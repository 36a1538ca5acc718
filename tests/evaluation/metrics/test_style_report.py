import pytest

from imitation.errors import UserError
from imitation.evaluation.metrics import style_report
from imitation.evaluation.metrics.style_report import report, with_tone
from imitation.values import RecordedPrompt, Recording, Refused

PROMPTS = tuple(RecordedPrompt(str(n), f"Question {n}") for n in range(16))
LIST = "- a\n- b"


def recording(**answers):
    """Models that answer the first prompts in order; None leaves one out."""
    return Recording(
        PROMPTS,
        {
            model: {str(n): text for n, text in enumerate(texts) if text is not None}
            for model, texts in answers.items()
        },
    )


def test_only_prompts_that_both_answered_count():
    ref, mine = ["a b", "c", None, *"defghij"], [None, "c", "x", *"defyyyy"]
    (model,) = report(recording(ref=ref, m=mine), "ref").models
    assert model.n == 8
    assert model.unigram_intersection.value == 0.5


def test_what_few_prompts_cannot_say():
    (model,) = report(recording(ref=[LIST] * 4, m=[LIST] * 4), "ref").models
    assert model.unigram_intersection.too_few("prompt") == "too few to say: 4 prompts, needs 8"
    assert model.length_correlation.too_few("prompt") == "too few to say: 4 prompts, needs 10"
    assert model.list_agreement.too_few("prompt") == "too few to say: 4 prompts, needs 5"


def test_agreement_counts_only_prompts_where_the_reference_does_it():
    ref, mine = [*[LIST] * 6, "a"], [*[LIST] * 3, "a", "b", "c", LIST]
    (model,) = report(recording(ref=ref, m=mine), "ref").models
    assert (model.list_agreement.value, model.list_agreement.n) == (0.5, 6)
    assert (model.summary_agreement.value, model.summary_agreement.n) == (None, 0)


def test_two_wordless_answers_are_left_out_and_one_counts_as_nothing_shared():
    (model,) = report(recording(ref=["...", *"abcdefgh"], m=[""] * 9), "ref").models
    assert model.n == 9
    assert (model.unigram_intersection.value, model.unigram_intersection.n) == (0, 8)


def test_nothing_in_common_is_undefined_not_zero():
    (model,) = report(recording(ref=["a", None], m=[None, "b"]), "ref").models
    assert model.n == 0
    assert model.unigram_intersection.value is None
    assert model.length_correlation.value is None


def test_a_model_that_is_not_there():
    with pytest.raises(UserError, match=r"'x'.*'ref', 'm'"):
        report(recording(ref=["a"], m=["a"]), "x")


def test_refusals_of_other_models_files_are_not_a_models_own():
    refused = tuple(Refused(f"{name}.jsonl", 3, "bad") for name in ("questions", "ref", "m", "k"))
    answers = {"ref": {"0": "a"}, "m": {"0": "a"}, "k": {"0": "a"}}
    files = {name: (f"{name}.jsonl",) for name in answers}
    found = report(Recording(PROMPTS, answers, files, refused), "ref")
    named = {m.model: [r.file for r in m.refused] for m in found.models}
    assert named == {
        "m": ["questions.jsonl", "ref.jsonl", "m.jsonl"],
        "k": ["questions.jsonl", "ref.jsonl", "k.jsonl"],
    }


def test_the_same_recording_gives_the_same_numbers():
    data = recording(ref=["a b c", "a b", "c d e", "a"], m=["a b", "c", "d e f", "b"])
    assert report(data, "ref") == report(data, "ref")


def test_many_prompts_take_fewer_resamples(monkeypatch):
    data = recording(ref=["a b c", "a b", "c d e", "a"] * 2, m=["a b", "c", "d e f", "b"] * 2)
    drawn = []
    real = style_report.bootstrap_mean

    def counted(values, *, resamples, seed):
        drawn.append(resamples)
        return real(values, resamples=resamples, seed=seed)

    monkeypatch.setattr(style_report, "bootstrap_mean", counted)
    for limit in (50_000_000, 40_000, 1):
        monkeypatch.setattr(style_report, "DRAWS", limit)
        report(data, "ref")
    assert drawn == [10_000, 5_000, 1_000]


def test_tone_is_of_a_models_own_answers_and_counts_what_was_read():
    found = recording(ref=["a", "b"], m=[*"cdefhijk"], k=["g"])
    heard = [True, False, None, True, False, True, False]
    said = {(f"Question {n}", "m", "cdefhij"[n]): one for n, one in enumerate(heard)}
    said |= {("Question 7", "m", "other"): True, ("Question 0", "ref", "a"): True}
    toned = with_tone(report(found, "ref"), found, said)
    m, k = toned.models
    assert (m.tone.value, m.tone.n) == (0.5, 6) and m.tone.low < 0.5 < m.tone.high
    assert k.tone is None, "no judge is no score"
    assert toned.reference_tone.too_few("answer") == "too few to say: 1 answer, needs 5"
    unread = with_tone(report(found, "ref"), found, {("Question 0", "k", "g"): None})
    assert (unread.models[1].tone.value, unread.models[1].tone.n) == (None, 0)
