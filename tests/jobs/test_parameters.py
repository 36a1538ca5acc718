"""Parameters of jobs: from a command line and back, and what is said where they are wrong."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from imitation.errors import ConfigError
from imitation.jobs.parameters import JobParameters, parse, run
from imitation.jobs.registry import KINDS, parameters_of
from imitation.values import JobSpec


class Draw(JobParameters):
    model: Annotated[str, Field(description="id in the catalog")]
    out: Path
    facts: Literal["train", "show"] | None = None
    names: tuple[str, ...] = ()
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    limit: Annotated[int | None, Field(ge=1)] = None
    seed: int = 0
    quick: bool = False
    export: bool = True

    @model_validator(mode="after")
    def _some_work(self) -> "Draw":
        if self.quick and not self.export:
            raise ValueError("quick without export does nothing")
        return self


class Gather(JobParameters):
    positional = "source"
    source: tuple[Path, ...]
    roles: tuple[str, ...] = ()


def read(argv, kind=Draw):
    return parse(kind, argv, "draw", "Draws answers.\n\nMore of it.")


ODD = [
    "two words", 'it\'s "quoted"', "ünïcödé ✓ 東京", "$HOME `id`", "", "-x\nnew", "--help", "--",
    "[1, 2]", '{"a": 1}', "None", "a=b", "true", "-1", "\\", "a,b",
]  # fmt: skip


@pytest.mark.parametrize(
    "made",
    [
        Draw(model="m", out="o"),
        Draw(model="m", out="o", facts="show", temperature=0, limit=3, seed=-4, quick=True),
        Draw(model="m", out="a b/c", names=("a", "b"), export=False),
        *(Draw(model=text, out="o", names=(text, "x", text)) for text in ODD),
    ],
)
def test_a_command_line_is_read_as_the_value_it_was_derived_from(made):
    assert read(made.options()) == made
    assert Draw.of(made.as_json()) == made


def test_only_what_differs_from_the_defaults_is_on_the_command_line():
    assert Draw(model="m", out="o").options() == ["--model", "m", "--out", "o"]
    made = Draw(model="m", out="o", export=False, temperature=0.7)
    assert made.options() == ["--model", "m", "--out", "o", "--no-export"]


def test_positional_values_come_first_and_need_no_name():
    made = Gather(source=("a", "b"), roles=("x=base",))
    assert made.options() == ["a", "b", "--roles", "x=base"]
    assert read(["a", "b", "--roles", "x=base"], Gather) == made
    assert read(["--roles", "x=base", "--source", "a", "b"], Gather) == made


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], ["--model is missing", "--out is missing"]),
        (["--modl", "m"], ["Unknown option: --modl. Did you mean --model?"]),
        (
            ["--model", "m", "--out", "o", "--facts", "shwo", "--temperature", "3", "--seed", "x"],
            ["--facts = 'shwo'. Did you mean 'show'?", "--temperature = '3' should be 0 to 2",
             "--seed = 'x' should be a whole number"],
        ),
        (["--model", "m", "--out", "o", "--limit", "0"], ["--limit = '0' should be at least 1"]),
        (["--model", "m", "--out", "o", "stray"], ["stray"]),
        (
            ["--model", "m", "--out", "o", "--quick", "--no-export"],
            ["quick without export does nothing"],
        ),
    ],
)  # fmt: skip
def test_all_that_is_wrong_is_said_at_once(argv, said):
    with pytest.raises(ConfigError) as refused:
        read(argv)
    assert all(one in str(refused.value) for one in said), str(refused.value)


def test_help_says_what_each_option_takes(capsys):
    assert read(["--help"]) is None
    shown = " ".join(capsys.readouterr().out.split())
    assert "Draws answers." in shown and "More of it" not in shown
    for part in ("id in the catalog", "train|show", "0 to 2, default 0.7", "--no-export"):
        assert part in shown, part


def test_a_command_exits_with_2_and_one_sentence(capsys):
    done = []
    assert run(Draw, lambda p: done.append(p) or 0, ["--model", "m"], prog="d", about="x") == 2
    assert capsys.readouterr().err.strip() == "d: 1 problem: --out is missing See --help."
    assert run(Draw, lambda p: done.append(p) or 5, ["--model", "m", "--out", "o"],
               prog="d", about="x") == 5  # fmt: skip
    assert [one.model for one in done] == ["m"]


def test_values_are_frozen_and_know_their_fields():
    made = Draw(model="m", out="o")
    with pytest.raises(ValueError, match="frozen"):
        made.seed = 1
    with pytest.raises(ConfigError, match=r"unknown key 'tempreature'. Did you mean 'temperature'"):
        Draw.of({"model": "m", "out": "o", "tempreature": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_job_has_parameters_that_explain_themselves(kind):
    with pytest.raises(ConfigError) as refused:  # nothing is known of what isn't there
        parameters_of(JobSpec(kind, {"no such option": 1}, "x"))
    assert "unknown key 'no such option'" in str(refused.value)
