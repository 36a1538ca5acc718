"""Labels lie on outputs and end-of-turn, never on prompts."""

from dataclasses import replace

import pytest

from imitation.data.encode import IGNORE_INDEX, Encoded, encode, pack, split
from imitation.prompts import ChatTemplate, Koala, Plain
from imitation.values import Example, Message

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def characters(text, special):
    """One token a character: its code point; a text begins with BOS, 1."""
    return [1] * special + [ord(c) for c in text]


def learned(encoded):
    return "".join(chr(label) for label in encoded.labels if label != IGNORE_INDEX)


def conversation(*turns, **meta):
    speakers = ("user", "assistant")
    messages = tuple(Message(speakers[i % 2], text) for i, text in enumerate(turns))
    return Example(messages, id="x", meta=meta)


def test_chat_template_learns_each_answer_and_its_end_of_turn():
    (encoded,) = encode(
        conversation("Hi", "Hello", "Bye", "Ciao"), ChatTemplate(CHATML), characters, 999
    )
    assert learned(encoded) == "Hello<|im_end|>Ciao<|im_end|>"
    assert encoded.trained == len("Hello<|im_end|>Ciao<|im_end|>")


def test_koala_learns_the_answer_only_even_if_the_prompt_says_the_same():
    (encoded,) = encode(conversation("same", "same"), Koala(), characters, 999)
    assert learned(encoded) == "same</s>"
    assert next(i for i, label in enumerate(encoded.labels) if label != IGNORE_INDEX) > len(
        "BEGINNING OF CONVERSATION: USER: same"
    )


def test_an_answer_cut_at_its_limit_does_not_teach_to_stop():
    cut = conversation("Hi", "Hello and so", finish_reason="length")
    assert learned(*encode(cut, ChatTemplate(CHATML), characters, 999)) == "Hello and so"
    done = conversation("Hi", "Hello.", finish_reason="stop")
    assert learned(*encode(done, ChatTemplate(CHATML), characters, 999)) == "Hello.<|im_end|>"


def test_an_answer_of_weight_0_takes_no_loss_and_the_others_do():
    talk = replace(conversation("Hi", "Hello", "Bye", "Ciao"), unlearned=(1,))
    for fmt, end in ((ChatTemplate(CHATML), "<|im_end|>"), (Koala(), "</s>")):
        (encoded,) = encode(talk, fmt, characters, 999)
        assert learned(encoded) == f"Ciao{end}"
        assert "Hello" in "".join(map(chr, encoded.ids)), "it is still read"
    assert encode(replace(talk, unlearned=(1, 3)), Koala(), characters, 999) == []


def test_long_conversations_are_cut_and_hopeless_ones_left_out():
    long = conversation("Hi", "abcdefgh")
    prompt = len("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert learned(*encode(long, ChatTemplate(CHATML), characters, prompt + 3)) == "abc"
    assert encode(long, ChatTemplate(CHATML), characters, prompt) == []
    assert encode(Example((Message("user", "Hi"),)), ChatTemplate(CHATML), characters, 99) == []


def test_the_format_says_whether_a_text_begins_as_the_tokenizer_has_it():
    talk = conversation("Hi", "Hello")
    for fmt, special in ((Koala(), True), (Plain(), True), (ChatTemplate(CHATML), False)):
        (encoded,) = encode(talk, fmt, characters, 999)
        assert (encoded.ids[0] == 1) is special is fmt.special_tokens


def pairs(text, special):
    """Two letters a token, from the left: every second border lies inside one."""
    return [1] * special + [
        ord(text[i]) + 1000 * ord(text[i + 1 : i + 2] or "\0") for i in range(0, len(text), 2)
    ]


def read(ids):
    return "".join(chr(i % 1000) + (chr(i // 1000) if i >= 1000 else "") for i in ids if i > 1)


@pytest.mark.parametrize("fmt", [ChatTemplate(CHATML), Koala(), Plain()], ids=lambda f: f.name)
@pytest.mark.parametrize("question", ["Hi", "Hey"])
def test_an_answer_follows_the_tokens_its_prompt_has_alone(fmt, question):
    """Also where the tokenizer would join the prompt's last letter and the answer's first."""
    turns = conversation(question, "Hello", "Bye now", "Ciao")
    sequences = encode(turns, fmt, pairs, 999)
    rendered = fmt.render(turns.messages)
    told = []
    for one in sequences:
        starts = [
            at for at in range(1, len(one.ids))
            if one.labels[at] != IGNORE_INDEX and one.labels[at - 1] == IGNORE_INDEX
        ]  # fmt: skip
        for start in starts:
            span = rendered.outputs[len(told)]
            assert list(one.ids[:start]) == pairs(rendered.text[: span.start], fmt.special_tokens)
            end = next((i for i in range(start, len(one.ids)) if one.labels[i] == IGNORE_INDEX),
                       len(one.ids))  # fmt: skip
            told.append(read(one.ids[start:end]).rstrip("\0"))
    assert told == [rendered.text[span.start : span.end] for span in rendered.outputs]
    assert len({one.id for one in sequences}) == 1


def piece(name, length, trained=True):
    ids = tuple(range(1, length + 1))
    return Encoded(name, ids, ids if trained else (IGNORE_INDEX,) * length)


def test_long_conversations_go_on_in_pieces_that_know_nothing_of_each_other():
    whole = Encoded("x", tuple(range(10)), (IGNORE_INDEX,) * 4 + tuple(range(4, 10)))
    first, second = split(whole, 4)[0], split(whole, 4)[1]
    assert [len(p.ids) for p in split(whole, 4)] == [4, 2], "the first has nothing to learn"
    assert first.labels == (IGNORE_INDEX, 5, 6, 7) and second.labels == (IGNORE_INDEX, 9)
    assert split(whole, 100) == [whole]


def test_blocks_hold_every_piece_once_and_none_is_cut():
    pieces = [piece(str(n), n) for n in (3, 9, 5, 2, 7, 1, 10)]
    blocks = pack(pieces, 10)
    assert sorted(i for b in blocks for i in b.id.split(", ")) == sorted(p.id for p in pieces)
    assert all(len(b.ids) <= 10 for b in blocks)
    assert len(blocks) == 4, "37 tokens in blocks of 10: the fewest there can be"
    assert pack(pieces, 10) == blocks
    for block in blocks:
        for start in block.starts:
            assert block.ids[start] == 1 and block.labels[start] == IGNORE_INDEX
    assert sum(b.trained for b in blocks) == sum(p.trained for p in pieces)
    with pytest.raises(ValueError, match="10 tokens in blocks of 9"):
        pack(pieces, 9)
