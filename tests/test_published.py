import json
from pathlib import Path

import pytest

from imitation import published
from imitation.errors import ConfigError
from imitation.published import Record, load_later, load_paper, only, parse_records, select

SHARED = Path(__file__).parents[1].parent / "shared" / "paper"
GOOD = {
    "where": "Table 9", "benchmark": "B", "metric": "%", "model": "M", "role": "base",
    "params_b": 13, "tokens_m": None, "imitation_data": None, "value": 1.5,
    "digitised_error": None, "source": "printed",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shipped"),
    [("numbers.json", published.raw_numbers), ("later.json", published.raw_later)],
)
def test_shipped_numbers_are_the_source(name: str, shipped) -> None:
    source = SHARED / name
    if not source.is_file():
        pytest.skip("the numbers the shipped ones were copied from are not beside this checkout")
    assert shipped() == json.loads(source.read_text(encoding="utf-8"))


def test_every_shipped_record_is_read() -> None:
    assert len(load_paper().records) == len(published.raw_numbers()["records"])
    assert len(load_later()) == len(published.raw_later()["records"])


def test_known_values() -> None:
    records = load_paper().records
    (base,) = select(records, where="Table 1", role="base", params_b=13)
    assert base.value == 20
    reference = only(select(records, where="Figure 4 top", benchmark="MMLU"), "reference")
    assert reference is not None
    assert (reference.value, reference.digitised_error) == (68.0, 0.3)
    assert load_paper().query_types["Generation"] == 31


def test_missing_values_stay_missing() -> None:
    paper = load_paper().records
    assert only(select(paper, where="Figure 1 left"), "reference") is None
    assert only(select(paper, where="Figure 4 bottom", benchmark="MMLU"), "base") is None
    assert not select(load_later(), role="base")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"role": "teacher"}, "role 'teacher' is not one of"),
        ({"value": None}, "value is missing"),
        ({"value": "12"}, "value '12' is not a number"),
        ({"source": "guessed"}, "source 'guessed' is not one of"),
        ({"where": None}, "neither where nor reference"),
        ({"model": ""}, "model is missing"),
        ({"digitised_error": True}, "digitised_error True is not a number"),
    ],
)
def test_a_damaged_record_is_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_records([GOOD, GOOD | change], "some.json")
    assert "some.json" in str(caught.value)
    assert "record 2" in str(caught.value)


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_records([GOOD | {"value": None, "role": "x"}, GOOD | {"source": "y"}], "some.json")
    assert len(caught.value.problems) == 3


def test_origin_says_how_a_value_was_taken() -> None:
    def origin(**changes: object) -> str:
        return parse_records([GOOD | changes], "f")[0].origin

    assert origin() == "Table 9, printed"
    assert origin(source="digitised", digitised_error=0.3) == "Table 9, digitised ±0.3"
    assert origin(source="digitised").endswith("digitised, reading error not stated")


def test_only_refuses_a_choice() -> None:
    row = Record(**GOOD)  # type: ignore[arg-type]
    assert only([row], "base") is row
    assert only([row], "reference") is None
    with pytest.raises(ValueError, match="2 base records"):
        only([row, row], "base")
