"""JSON in words: what is wrong, never a traceback, whoever reads it."""

import json

import pytest

from dashboards.finetune import new_run as finetune
from imitation.data.format import read_examples
from imitation.errors import UserError
from imitation.evaluation.harness import results
from imitation.jobs.prompt_files import read_prompts
from imitation.reading.json_text import NotJson, parse_json, read_json

BAD = {
    "[" * 100_000: "nested too deeply",
    '{"a":' * 100_000: "nested too deeply",
    '{"a": \0}': "a null byte",
    "9" * 5000: "too many digits",
    '{"a": ': "not JSON: Expecting value",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_said(tmp_path, text):
    with pytest.raises(NotJson, match=BAD[text]):
        parse_json(text)
    path = tmp_path / "results_x.json"
    path.write_text(text + "\n")
    with pytest.raises(UserError, match=BAD[text]):
        read_prompts(path)
    assert BAD[text] in read_examples(path)[1][0].reason
    with pytest.raises(UserError, match=BAD[text]):
        finetune._counted(path)
    with pytest.raises(UserError):
        results.read(path)


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "q"}), encoding="utf-8-sig")
    assert read_json(path) == {"prompt": "q"}
    assert [prompt.text for prompt in read_prompts(path)] == ["q"]


def test_prompts_that_are_none_are_named(tmp_path):
    path = tmp_path / "a.jsonl"
    for line, said in (("[1]", "no field prompt"), ('{"a": 1}', "no field prompt")):
        path.write_text(line)
        with pytest.raises(UserError, match=said):
            read_prompts(path)
