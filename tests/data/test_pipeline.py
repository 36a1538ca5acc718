"""Steps by name, run in order, each with its counts."""

import pytest

from imitation.data.pipeline import DEFAULT, STEPS, Options, make_steps, run
from imitation.errors import UserError
from imitation.values import Example, Message


def asked(query, answer="A river."):
    return Example((Message("user", query), Message("assistant", answer)), id=query)


EXAMPLES = [
    asked("Please name the longest river in the whole of Africa."),
    asked("PLEASE NAME the longest river in the whole of Africa."),
    asked("Please name the longest river in the whole of Africa!!"),
    asked("Nenne mir bitte den längsten Fluss in ganz Afrika, danke."),
    asked("Which number comes after the number eleven, then?", "I'm sorry, but I can't say."),
    asked("Who wrote the play about the two lovers of Verona?"),
]


def test_every_step_reports_in_out_and_why():
    told = {}
    options = Options(prompts=("Who wrote the play about the two lovers?",), words=(2, 50))
    kept, reports = run(EXAMPLES, make_steps(list(STEPS), options), told.__setitem__)
    assert told == dict(enumerate(reports, 1))
    assert [(r.name, r.taken, r.kept) for r in reports] == [
        ("html", 6, 6),
        ("language", 6, 5),
        ("exact", 5, 4),
        ("near", 4, 3),
        ("length", 3, 3),
        ("refusals", 3, 2),
        ("decontaminate", 2, 1),
    ]
    assert kept == EXAMPLES[:1]
    for report in reports:
        assert sum(report.reasons.values()) == report.taken - report.kept
        assert len(report.dropped) == report.taken - report.kept
        assert "seconds" not in report.as_json()


def test_filters_of_answers_are_off_by_default():
    kept, _ = run(EXAMPLES, make_steps(DEFAULT, Options()))
    assert EXAMPLES[4] in kept


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["langauge"], {}, "Did you mean 'language'"),
        (["zzz"], {}, "Known: html, language"),
        (["near", "near"], {}, "named twice"),
        (["near"], {"similarity": 0.2}, "0.6 to 1"),
        (["length"], {"words": (5, 1)}, "fewest words"),
        (["language"], {"languages": ("xx",)}, "Unknown languages: xx"),
    ],
)
def test_wrong_settings_are_refused(names, options, message):
    with pytest.raises(UserError, match=message):
        run([], make_steps(names, Options(**options)))


def test_no_steps_change_nothing():
    assert run(EXAMPLES, []) == (EXAMPLES, [])
