"""Labels lie on outputs and end-of-turn, never on prompts."""

from imitation.data.encode import IGNORED, encode
from imitation.prompts import ChatTemplate, Koala
from imitation.values import Example, Message

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def characters(text):
    """One token a character: its code point."""
    return [ord(c) for c in text], [(i, i + 1) for i in range(len(text))]


def learned(encoded):
    return "".join(chr(label) for label in encoded.labels if label != IGNORED)


def conversation(*turns, **meta):
    speakers = ("user", "assistant")
    messages = tuple(Message(speakers[i % 2], text) for i, text in enumerate(turns))
    return Example(messages, id="x", meta=meta)


def test_chat_template_learns_each_answer_and_its_end_of_turn():
    encoded = encode(
        conversation("Hi", "Hello", "Bye", "Ciao"), ChatTemplate(CHATML), characters, 999
    )
    assert learned(encoded) == "Hello<|im_end|>Ciao<|im_end|>"
    assert encoded.trained == len("Hello<|im_end|>Ciao<|im_end|>")


def test_koala_learns_the_answer_only_even_if_the_prompt_says_the_same():
    encoded = encode(conversation("same", "same"), Koala(), characters, 999)
    assert learned(encoded) == "same</s>"
    assert next(i for i, label in enumerate(encoded.labels) if label != IGNORED) > len(
        "BEGINNING OF CONVERSATION: USER: same"
    )


def test_an_answer_cut_at_its_limit_does_not_teach_to_stop():
    cut = conversation("Hi", "Hello and so", finish_reason="length")
    assert learned(encode(cut, ChatTemplate(CHATML), characters, 999)) == "Hello and so"
    done = conversation("Hi", "Hello.", finish_reason="stop")
    assert learned(encode(done, ChatTemplate(CHATML), characters, 999)) == "Hello.<|im_end|>"


def test_long_conversations_are_cut_and_hopeless_ones_left_out():
    long = conversation("Hi", "abcdefgh")
    prompt = len("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert learned(encode(long, ChatTemplate(CHATML), characters, prompt + 3)) == "abc"
    assert encode(long, ChatTemplate(CHATML), characters, prompt) is None
    assert encode(Example((Message("user", "Hi"),)), ChatTemplate(CHATML), characters, 99) is None


def test_a_token_across_the_border_is_not_learned():
    def pairs(text):
        places = [(i, min(i + 2, len(text))) for i in range(0, len(text), 2)]
        return list(range(len(places))), places

    for question in ("Hi", "Hey"):
        example = conversation(question, "Hello")
        encoded = encode(example, ChatTemplate(CHATML), pairs, 999)
        text = ChatTemplate(CHATML).render(example.messages).text
        start = text.index("Hello<|im_end|>")
        first = next(i for i, label in enumerate(encoded.labels) if label != IGNORED)
        assert first * 2 in (start, start + 1)
