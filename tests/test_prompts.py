from pathlib import Path

import pytest

from imitation.errors import IntegrityError, UserError
from imitation.prompts import (
    ChatTemplate,
    Koala,
    Plain,
    PromptFormat,
    load,
    prompt_format,
    render,
    save,
)
from imitation.values import Message

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# What some templates do to earlier turns, here to any answer that is not the last.
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not loop.last %}...{% else %}{{ m.content }}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TALK = (
    Message("user", "Hi there"),
    Message("assistant", "Hello."),
    Message("user", "Capital of France?"),
    Message("assistant", "Paris, <|im_end|> said."),
)
FORMATS = [Koala(), Koala("<eos>"), Plain(), Plain("<eos>", "\n"), ChatTemplate(CHATML)]


def pieces(fmt: PromptFormat, messages=TALK) -> list[str]:
    rendered = render(messages, fmt)
    return [rendered.text[s.start : s.end] for s in rendered.spans]


def test_koala_is_the_papers_text():
    text = render(TALK[:2], "koala").text
    assert text == "BEGINNING OF CONVERSATION: USER: Hi there GPT:Hello.</s>"
    asked = render(TALK[:3], "koala", add_generation_prompt=True).text
    assert asked == text + "USER: Capital of France? GPT:"


def test_koala_puts_a_system_message_after_the_opening():
    text = render((Message("system", "Be brief."), TALK[0]), "koala", True).text
    assert text == "BEGINNING OF CONVERSATION: Be brief. USER: Hi there GPT:"


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_a_prompt_is_a_prefix_of_the_conversation_with_its_answer(fmt):
    for index in (1, 3):
        prompt = render(TALK[:index], fmt, add_generation_prompt=True).text
        whole = render(TALK, fmt)
        assert whole.text.startswith(prompt)
        assert whole.outputs[index // 2].start == len(prompt)


@pytest.mark.parametrize(("fmt", "end"), [(Koala(), "</s>"), (Plain("<eos>"), "<eos>")])
def test_spans_of_answers_hold_the_end_of_turn(fmt, end):
    assert pieces(fmt) == ["Hi there", "Hello." + end, TALK[2].content, TALK[3].content + end]


def test_chatml_spans_hold_the_token_but_not_the_line_end():
    assert pieces(ChatTemplate(CHATML)) == [
        "Hi there",
        "Hello.<|im_end|>",
        "Capital of France?",
        "Paris, <|im_end|> said.<|im_end|>",
    ]


def test_a_user_quoting_the_default_system_text_gets_the_right_span():
    messages = (Message("user", "You are a helpful AI assistant."), Message("assistant", "Yes"))
    rendered = render(messages, ChatTemplate(CHATML))
    user = rendered.spans[0]
    assert rendered.text[: user.start].endswith("<|im_start|>user\n")


def test_an_empty_answer_still_has_its_end_of_turn():
    assert pieces(ChatTemplate(CHATML), (TALK[0], Message("assistant", "")))[1] == "<|im_end|>"
    assert pieces(Koala(), (TALK[0], Message("assistant", "")))[1] == "</s>"


def test_a_template_that_rewrites_turns_is_refused():
    assert pieces(ChatTemplate(FORGETFUL), TALK[:2])[1] == "Hello.<|im_end|>"
    with pytest.raises(UserError, match="turn 2 differently"):
        render(TALK, ChatTemplate(FORGETFUL))


def test_a_template_without_source_says_so():
    with pytest.raises(UserError, match="server only"):
        render(TALK, "chat")


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% for m in messages %}",
        "{{ raise_exception('system messages are not supported') }}",
        "{{ messages.append(1) }}",
    ],
)
def test_hostile_broken_and_refusing_templates_fail_in_words(template):
    with pytest.raises(UserError, match="chat template failed"):
        render(TALK, ChatTemplate(template))


def test_generation_blocks_are_read_through():
    marked = CHATML.replace("message['content']", "''").replace(
        "{% endfor %}", "{% generation %}{{ message.content }}{% endgeneration %}{% endfor %}"
    )
    assert "Hello." in ChatTemplate(marked).text(TALK)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_a_format_survives_its_checkpoint(fmt, tmp_path: Path):
    save(fmt, tmp_path)
    assert load(tmp_path) == fmt


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "alpaca"}', '{"format": "koala", "a": 1}']
)
def test_a_wrong_file_beside_a_checkpoint_is_named(text, tmp_path: Path):
    (tmp_path / "prompt_format.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"prompt_format\.json"):
        load(tmp_path)


def test_an_absent_file_is_named(tmp_path: Path):
    with pytest.raises(IntegrityError, match=r"prompt_format\.json"):
        load(tmp_path)


def test_unknown_names_list_the_known():
    with pytest.raises(UserError, match="koala"):
        prompt_format("vicuna")


def test_koala_stops_before_a_question_of_its_own():
    assert Koala().stop == ("</s>", "USER:")
    assert Plain().stop == ()


def test_the_template_renders_as_transformers_does():
    pytest.importorskip("transformers")
    from transformers.utils.chat_template_utils import render_jinja_template

    ours = ChatTemplate(CHATML).text(TALK[:3], add_generation_prompt=True)
    theirs, _ = render_jinja_template(
        [[{"role": m.role, "content": m.content} for m in TALK[:3]]],
        chat_template=CHATML,
        add_generation_prompt=True,
    )
    assert ours == theirs[0]
