import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imitation.errors import UserError
from imitation.models.recordings import lines
from imitation.models.recordings.files import Source, read_recording
from imitation.values import RecordedPrompt

VICUNA = Path(__file__).parents[4] / "shared" / "reference" / "vicuna80"


def write(path, *rows):
    """A JSONL file; rows are values, or bytes written as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def read(*paths, answers=None):
    return read_recording(Source(path, answers=answers) for path in paths)


def reasons(recording):
    return [(refusal.line, refusal.reason) for refusal in recording.refused]


def questions(tmp_path):
    return write(
        tmp_path / "question.jsonl",
        {"question_id": 1, "text": "Why?", "category": "generic"},
        {"question_id": 2, "text": "How?", "category": "coding"},
    )


def answer(number, text, model="m"):
    return {"question_id": number, "model_id": model, "text": text}


# ---- formats


def test_our_jsonl(tmp_path):
    path = write(
        tmp_path / "ours.jsonl",
        {"prompt": "Why?", "category": "generic", "answers": {"a": "Because.", "b": "So."}},
        {"prompt": "And then?", "earlier": ["Why?"], "answers": {"a": "Nothing."}},
    )
    recording = read(path)
    assert recording.prompts == (
        RecordedPrompt("1", "Why?", "generic"),
        RecordedPrompt("2", "And then?", "", ("Why?",)),
    )
    assert recording.answers == {"a": {"1": "Because.", "2": "Nothing."}, "b": {"1": "So."}}
    assert recording.files == {"a": ("ours.jsonl",), "b": ("ours.jsonl",)}
    assert recording.refused == ()


def test_fastchat_of_the_first_form_in_any_order_of_files(tmp_path):
    first = write(tmp_path / "answer_m.jsonl", answer(2, "Thus."), answer(1, "Because."))
    for paths in ((first, questions(tmp_path)), (questions(tmp_path), first)):
        recording = read(*paths)
        assert [p.id for p in recording.prompts] == ["1", "2"]
        assert [p.category for p in recording.prompts] == ["generic", "coding"]
        assert recording.answers == {"m": {"2": "Thus.", "1": "Because."}}


def test_fastchat_with_turns_makes_each_turn_a_prompt(tmp_path):
    asked = write(
        tmp_path / "question.jsonl",
        {"question_id": 81, "category": "writing", "turns": ["Write.", "Rewrite."]},
    )
    told = write(
        tmp_path / "gpt-4.jsonl",
        {
            "question_id": 81,
            "answer_id": "x",
            "model_id": "gpt-4",
            "choices": [
                {"index": 0, "turns": ["Text.", "Other text."]},
                {"index": 1, "turns": ["?"]},
            ],
            "tstamp": 1.0,
        },
    )
    recording = read(asked, told)
    assert recording.prompts == (
        RecordedPrompt("81", "Write.", "writing"),
        RecordedPrompt("81/2", "Rewrite.", "writing", ("Write.",)),
    )
    assert recording.answers == {"gpt-4": {"81": "Text.", "81/2": "Other text."}}


def test_the_input_of_an_instruction_tells_questions_apart(tmp_path):
    def row(given, output, generator="a", **more):
        fields = {"instruction": "Translate", "output": output, "generator": generator}
        return {**fields, **({} if given is None else {"input": given}), **more}

    first = write(
        tmp_path / "a.jsonl",
        row("cat", "Katze"),
        row("dog", "Hund"),
        row("", "What?"),
        row(7, "sieben"),
    )
    second = write(
        tmp_path / "b.jsonl",
        row("dog", "chien", "b"),
        row("<noinput>", "Quoi ?", "b"),
        row("cat ", "chat", "b"),
    )
    recording = read(first, second)
    assert [prompt.text for prompt in recording.prompts] == [
        "Translate\n\ncat", "Translate\n\ndog", "Translate",
    ]  # fmt: skip
    assert recording.answers == {
        "a": {"1": "Katze", "2": "Hund", "3": "What?"},
        "b": {"2": "chien", "3": "Quoi ?", "1": "chat"},
    }
    assert reasons(recording) == [(4, "'input' should be text, not a number")]


@pytest.mark.parametrize(
    "empty", [None, "", " ", "No input", "No input.", "<noinput>", "<NoInput>"]
)
def test_no_input_is_no_text(tmp_path, empty):
    path = write(
        tmp_path / "a.jsonl",
        {"instruction": "Sing.", "input": empty, "output": "La.", "generator": "a"},
    )
    assert [prompt.text for prompt in read(path).prompts] == ["Sing."]


def test_fastchats_word_for_a_failure_is_no_answer(tmp_path):
    turns = {"question_id": 1, "model_id": "two", "choices": [{"turns": ["Fine.", "$ERROR$"]}]}
    talk = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "$ERROR$"}]
    asked = write(tmp_path / "q.jsonl", {"question_id": 1, "turns": ["Why?", "And?"]},
                  {"question_id": 2, "text": "How?"})  # fmt: skip
    answers = write(tmp_path / "m.jsonl", answer(1, "$ERROR$"), answer(2, "So: $ERROR$ is a word."))
    others = write(tmp_path / "two.jsonl", turns)
    ours = write(
        tmp_path / "o.jsonl", {"prompt": "Who?", "answers": {"a": " $ERROR$\n", "b": "I."}}
    )
    eval_ = write(
        tmp_path / "e.jsonl", {"instruction": "Go.", "output": "$ERROR$", "generator": "e"}
    )
    judged = write(
        tmp_path / "j.jsonl",
        {"question_id": 9, "model_a": "x", "model_b": "y", "conversation_a": talk,
         "conversation_b": [talk[0], {"role": "assistant", "content": "Yes."}]},
    )  # fmt: skip
    recording = read(asked, answers, others, ours, eval_, judged)
    texts = {model: list(found.values()) for model, found in recording.answers.items()}
    assert texts == {
        "m": ["So: $ERROR$ is a word."], "two": ["Fine."], "b": ["I."], "y": ["Yes."], "e": [],
    }  # fmt: skip
    assert len(recording.refused) == 5
    assert all("could not be asked" in refusal.reason for refusal in recording.refused)


def test_alpaca_eval_outputs(tmp_path):
    path = tmp_path / "outputs.json"
    rows = [
        {"instruction": "Why?", "output": "So.", "generator": "m", "dataset": "helpful_base"},
        {"instruction": "How?", "output": "Thus.", "generator": "m", "dataset": "koala"},
    ]
    for text in (json.dumps(rows), json.dumps(rows, indent=4)):
        path.write_text(text)
        recording = read(path)
        assert [(p.text, p.category) for p in recording.prompts] == [
            ("Why?", "helpful_base"),
            ("How?", "koala"),
        ]
        assert recording.answers == {"m": {"1": "So.", "2": "Thus."}}


def judgment(number, a, b, answers, judge="expert_1"):
    def conversation(text):
        return [
            {"content": "Write.", "role": "user"},
            {"content": text, "role": "assistant"},
            {"content": "Rewrite.", "role": "user"},
            {"content": text + " again", "role": "assistant"},
        ]

    return {
        "question_id": number,
        "model_a": a,
        "model_b": b,
        "winner": "model_a",
        "judge": judge,
        "conversation_a": conversation(answers[0]),
        "conversation_b": conversation(answers[1]),
        "turn": 1,
    }


def test_mt_bench_judgments_as_parquet(tmp_path):
    """On the schema that the set's card on the hub declares."""
    message = pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))
    schema = pa.schema(
        [
            ("question_id", pa.int64()),
            ("model_a", pa.string()),
            ("model_b", pa.string()),
            ("winner", pa.string()),
            ("judge", pa.string()),
            ("conversation_a", message),
            ("conversation_b", message),
            ("turn", pa.int64()),
        ]
    )
    rows = [
        judgment(81, "gpt-4", "llama-13b", ("G", "L")),
        judgment(81, "gpt-4", "llama-13b", ("G", "L"), judge="expert_2"),
        judgment(81, "alpaca-13b", "gpt-4", ("A", "another")),
    ]
    path = tmp_path / "human.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    recording = read(path)
    assert [p.id for p in recording.prompts] == ["81", "81/2"]
    assert recording.prompts[1].earlier == ("Write.",)
    assert recording.answers == {
        "gpt-4": {"81": "G", "81/2": "G again"},
        "llama-13b": {"81": "L", "81/2": "L again"},
        "alpaca-13b": {"81": "A", "81/2": "A again"},
    }
    assert reasons(recording) == [
        (3, "a second answer of gpt-4 to question 81 (the first: line 1)"),
        (3, "a second answer of gpt-4 to question 81/2 (the first: line 1)"),
    ]


def test_the_same_judgments_in_two_files_stay_one_model(tmp_path):
    row = judgment(81, "gpt-4", "llama-13b", ("G", "L"))
    one, two = write(tmp_path / "one.jsonl", row), write(tmp_path / "two.jsonl", row)
    recording = read(one, two)
    assert recording.models == ("gpt-4", "llama-13b")
    assert recording.refused == ()


@pytest.mark.skipif(not VICUNA.is_dir(), reason=f"no reference answers at {VICUNA}")
def test_vicuna_80_loads_whole():
    recording = read(*sorted(VICUNA.glob("*.jsonl")))
    assert len(recording.prompts) == 80
    assert len(recording.models) == 4
    assert all(len(answers) == 80 for answers in recording.answers.values())
    assert {r.file[:6] for r in recording.refused} == {"review"}, "only the reviews are left out"


# ---- joining


def test_rows_without_id_find_their_question_by_its_wording(tmp_path):
    told = tmp_path / "outputs.json"
    told.write_text(json.dumps([{"instruction": " Why? ", "output": "So.", "generator": "m"}]))
    recording = read(told, questions(tmp_path))
    assert [p.id for p in recording.prompts] == ["1", "2"]
    assert recording.answers == {"m": {"1": "So."}}


def test_a_model_split_over_files_is_one_model(tmp_path):
    one = write(tmp_path / "one.jsonl", answer(1, "A"))
    two = write(tmp_path / "two.jsonl", answer(2, "B"))
    recording = read(questions(tmp_path), one, two)
    assert recording.answers == {"m": {"1": "A", "2": "B"}}
    assert recording.files == {"m": ("one.jsonl", "two.jsonl")}


def test_two_files_that_answer_the_same_prompts_are_two_models(tmp_path):
    paths = [write(tmp_path / f"{name}.jsonl", answer(1, name)) for name in ("one", "two", "six")]
    recording = read(questions(tmp_path), *paths)
    assert recording.answers == {
        "m": {"1": "one"},
        "m (two)": {"1": "two"},
        "m (six)": {"1": "six"},
    }


def test_answers_without_a_model_name_take_the_files(tmp_path):
    rows = [{"question_id": 1, "text": "So."}]
    path = write(tmp_path / "answer_llama.jsonl", *rows)
    recording = read_recording(
        [Source(questions(tmp_path), answers=False), Source(path, answers=True)]
    )
    assert recording.answers == {"llama": {"1": "So."}}


def test_an_empty_answer_is_an_answer(tmp_path):
    """LLaMA-13B said nothing to one of the 80 Vicuna questions: that is what it answered."""
    path = write(tmp_path / "a.jsonl", answer(1, ""), answer(2, " "))
    recording = read(questions(tmp_path), path)
    assert recording.answers == {"m": {"1": "", "2": " "}}
    assert recording.refused == ()


# ---- bad lines


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"question_id": 1, "model_id": "m", "text": ', "not JSON: Expecting value at column 44"),
        (b"{'question_id': 1}", "not JSON: Expecting property name enclosed in double quotes"),
        (b'["a", "list"]', "a list where an object in braces is expected"),
        (b"7", "a number where an object in braces is expected"),
        (b"null", "null where an object in braces is expected"),
        ({"question_id": 1, "model_id": "m"}, "'text' (or 'choices') is missing"),
        ({"model_id": "m", "text": "A"}, "'question_id' is missing"),
        ({"question_id": True, "model_id": "m", "text": "A"}, "'question_id' should be text"),
        (answer(1, 7), "'text' (or 'choices') should be text, not a number"),
        (answer(1, ["A"]), "'text' (or 'choices') should be text, not a list"),
        (answer(1, "A", model=3), "'model_id' should be text, not a number"),
        (answer(1, "A\0B"), "'text' (or 'choices') contains a null byte"),
        (answer(9, "A"), "there is no question 9"),
        (answer(2, "B"), "a second answer of m to question 2 (the first: line 1)"),
        (
            b'{"question_id": 1, "text": "caf\xe9"}',
            "not UTF-8: byte 0xe9, 'é' in Windows-1252 (cp1252)",
        ),
        (b'{"question_id": 1,\0 "text": "A"}', "a null byte at position 19"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"question_id": ' + b"9" * 5000 + b"}", "a number with too many digits"),
        (
            {"question_id": 1, "model_id": "m", "choices": []},
            "'choices' is empty",
        ),
        (
            {"question_id": 1, "model_id": "m", "choices": ["A"]},
            "an item of 'choices' should be an object, not text",
        ),
        (
            {"question_id": 1, "model_id": "m", "choices": [{"turns": ["A", "B"]}]},
            "question 1 has no turn 2",
        ),
    ],
)
def test_a_bad_line_is_refused_and_the_others_load(tmp_path, line, reason):
    path = write(tmp_path / "a.jsonl", answer(2, "Thus."), line, b"", answer(1, "Because."))
    recording = read(questions(tmp_path), path)
    # What a line says well is kept: the first turn of the last case.
    assert recording.answers["m"]["2"] == "Thus."
    assert "1" in recording.answers["m"]
    (found,) = [r for r in recording.refused if r.line == 2]
    assert found.file == "a.jsonl"
    assert found.reason.startswith(reason)


def test_questions_are_checked_too(tmp_path):
    path = write(
        tmp_path / "question.jsonl",
        {"question_id": 1, "text": "Why?"},
        {"question_id": 1, "text": "Why?"},
        {"question_id": 1, "text": "Who?"},
        {"question_id": 2, "text": "  "},
        {"question_id": 3, "turns": []},
        {"question_id": 4, "turns": ["a", 5]},
        {"question_id": "x", "text": "What?"},
    )
    recording = read(path)
    assert [p.id for p in recording.prompts] == ["1", "x"]
    assert reasons(recording) == [
        (2, "question 1 was already asked (line 1 of question.jsonl)"),
        (3, "question 1 was already asked with other words (line 1 of question.jsonl)"),
        (4, "'text' (or 'turns') is empty"),
        (5, "'turns' is empty"),
        (6, "an item of 'turns' should be text, not a number"),
    ]


def test_one_bad_answer_leaves_the_others_of_its_line(tmp_path):
    path = write(
        tmp_path / "ours.jsonl",
        {"prompt": "Why?", "answers": {"a": 1, "b": "So."}},
        {"prompt": "How?", "answers": []},
        {"answers": {"a": "A"}},
        {"prompt": "Why?", "answers": {"b": "again"}},
    )
    recording = read(path)
    assert recording.answers == {"b": {"1": "So."}}
    assert reasons(recording) == [
        (1, "the answer of 'a' should be text, not a number"),
        (2, "'answers' should be an object of model names and texts"),
        (3, "'prompt' is missing"),
        (4, "a second answer of b to question 1 (the first: line 1)"),
    ]


def test_a_bad_item_of_a_pretty_printed_array_leaves_the_others(tmp_path):
    path = tmp_path / "outputs.json"
    path.write_text(
        '[\n  {"instruction": "a", "output": "1", "generator": "m"},\n'
        '  {"instruction": "b", "output": oops},\n'
        '  {"instruction": "c",\n   "output": "3", "generator": "m"},\n'
        '  {"instruction": "d", "generator": "m"},\n'
        "  17\n]\n"
    )
    recording = read(path)
    assert [p.text for p in recording.prompts] == ["a", "c"]
    assert reasons(recording) == [
        (3, "item 2: not JSON: Expecting value at column 34"),
        (6, "'output' is missing"),
        (7, "item 5: a number where an object in braces is expected"),
    ]


def test_a_broken_array_on_one_line_keeps_what_came_before(tmp_path):
    path = tmp_path / "outputs.json"
    path.write_text('[{"instruction": "a", "output": "1", "generator": "m"}, {"instr')
    recording = read(path)
    assert recording.answers == {"m": {"1": "1"}}
    ((line, reason),) = reasons(recording)
    assert line == 1
    assert reason.startswith("item 2: not JSON") and reason.endswith("was not read")


@pytest.mark.parametrize("text", ["[", "[ ", "[,]", '[{"a": 1}', "[1 2]", "[" * 100_000])
def test_unfinished_arrays_end(tmp_path, text):
    path = tmp_path / "outputs.json"
    path.write_text(text)
    assert read(path).refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        ('{"prompt": "x"}'.encode("utf-16"), "the file is UTF-16; save it as UTF-8"),
        (b"PAR1 nothing of the kind", "not a readable Parquet file"),
        (b'{"a": 1, "b": 2}\n' * 5, "the file has no known format: the fields of this row are 'a'"),
    ],
)
def test_a_file_that_is_nothing_is_one_refusal(tmp_path, data, reason):
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    ((line, found),) = reasons(read(path))
    assert found.startswith(reason)
    assert line in (0, 1)


def test_a_byte_order_mark_is_no_problem(tmp_path):
    path = write(tmp_path / "a.jsonl", {"prompt": "Why?", "answers": {"a": "So."}})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(path).answers == {"a": {"1": "So."}}


def test_files_put_together_have_marks_in_the_middle(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = ({"prompt": f"Why {n}?", "answers": {"a": "So."}} for n in range(2))
    path.write_bytes(b"".join(b"\xef\xbb\xbf" + json.dumps(row).encode() + b"\n" for row in rows))
    assert read(path).answers == {"a": {"1": "So.", "2": "So."}}


def test_a_bad_byte_in_an_array_costs_one_item(tmp_path):
    path = tmp_path / "a.json"
    rows = [{"prompt": f"Why {n}?", "answers": {"a": "caf\u00e9"}} for n in range(3)]
    parts = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    parts[1] = parts[1].decode().encode("cp1252")
    path.write_bytes(b"[" + b",".join(parts) + b"]")
    found = read(path)
    assert len(found.answers["a"]) == 2
    ((_, why),) = reasons(found)
    assert why.startswith("item 2: not UTF-8: byte 0xe9, 'é' in Windows-1252")


def test_a_line_of_a_megabyte_loads(tmp_path):
    text = "word " * 200_000
    path = write(tmp_path / "a.jsonl", {"prompt": "Why?", "answers": {"a": text}})
    assert read(path).answers["a"]["1"] == text


def test_a_line_over_the_limit_is_refused_by_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 1_000)
    rows = [{"prompt": f"{n}", "answers": {"a": "x" * n}} for n in (1, 3_000_000, 900)]
    recording = read(write(tmp_path / "a.jsonl", *rows))
    assert [p.text for p in recording.prompts] == ["1", "900"]
    assert reasons(recording) == [(2, "the line has 3.0 MB, the limit is 0 MB")]


def test_a_file_over_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_FILE", 10)
    recording = read(write(tmp_path / "a.jsonl", {"prompt": "Why?", "answers": {"a": "x"}}))
    ((line, reason),) = reasons(recording)
    assert line == lines.WHOLE_FILE
    assert reason.endswith("split it")


def test_a_hopeless_file_is_left_early(tmp_path):
    path = tmp_path / "photo.jsonl"
    path.write_bytes(b"\xff\xd8 not text\n" * 5_000)
    recording = read(path)
    assert len(recording.refused) == lines.GIVE_UP + 1
    assert "the rest was not read" in recording.refused[0].reason


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_a_file_that_cannot_be_opened_is_an_error(tmp_path, name):
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("A\ud800B", "A\ufffdB"), ("A\ude00", "A\ufffd"), ("A\ud83d\ude00", "A😀")],
)
@pytest.mark.parametrize("form", ["lines", "array"])
def test_half_a_character_costs_itself_only(tmp_path, written, read_as, form):
    row = {"prompt": written, "answers": {written: written}, "category": written}
    path = tmp_path / "ours.jsonl"
    path.write_text(json.dumps([row] if form == "array" else row), encoding="ascii")
    recording = read_recording([Source(path, answers=True)])
    assert not recording.refused
    (prompt,) = recording.prompts
    assert prompt.text == prompt.category == read_as
    assert recording.answers[read_as][prompt.id] == read_as
