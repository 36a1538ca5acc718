"""What real servers were seen to send in place of a tidy stream, and what it comes to.

Each behaviour is the habit of the servers named with it. A `FakeOpenAI` that is `rude` has the one
that it is asked for by name.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

ANSWER = "Paris is the capital."


@dataclass(frozen=True)
class Rude:
    """One behaviour.

    Attributes:
        who: Servers that have it.
        chunks: The reply's body, in the pieces it is sent.
        text: The answer shown, which may be part of one.
        words: In the reason told; "" where the answer is whole.
        finish: How the answer ended, as kept.
        tokens: Tokens of the answer; None where the server counts none that can be used.
        status: Of the reply.
        headers: Of the reply.
    """

    who: str
    chunks: Sequence[bytes]
    text: str = ANSWER
    words: str = ""
    finish: str = "stop"
    tokens: int | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def choice(finish: str | None = None, **said: object) -> bytes:
    return event({"choices": [{"index": 0, "finish_reason": finish, **said}]})


def delta(text: object, finish: str | None = None) -> bytes:
    return choice(finish, delta={"content": text})


def usage(**counts: object) -> bytes:
    return event({"choices": [], "usage": counts})


DONE = b"data: [DONE]\n\n"
END = choice("stop", delta={}) + DONE
TWO = [delta("Paris is"), delta(" the capital.")]
JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}
LOGIN = (
    b"<!DOCTYPE html>\n<html><head><title>Sign in &amp; go</title></head><body>...</body></html>"
)
WHOLE = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"content": ANSWER}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 5},
}


def split(whole: bytes, size: int) -> list[bytes]:
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def joined(*chunks: bytes) -> bytes:
    return b"".join(chunks)


UNICODE = "Zürich 日本 👩‍🚀 \u2028 end"

RUDE: dict[str, Rude] = {
    # ---- characters
    "halves of an emoji in two events": Rude(
        "llama-cpp-python, proxies in JavaScript",
        [b'data: {"choices":[{"delta":{"content":"a \\ud83d"}}]}\n\n',
         b'data: {"choices":[{"delta":{"content":"\\ude00 b"}}]}\n\n', END],
        text="a 😀 b",
    ),
    "a first half alone": Rude(
        "servers that cut at max_tokens",
        [b'data: {"choices":[{"delta":{"content":"a \\ud83d"}}]}\n\n', END],
        text="a \ufffd",
    ),
    "a first half, then other text": Rude(
        "servers that drop a token",
        [b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n', delta(" b"), END],
        text="\ufffd b",
    ),
    "a second half alone": Rude(
        "servers that begin in mid-character",
        [b'data: {"choices":[{"delta":{"content":"\\ude00 b"}}]}\n\n', END],
        text="\ufffd b",
    ),
    "characters split over packets": Rude(
        "any",
        split(
            b'data: {"choices":[{"delta":{"content":"' + UNICODE.encode() + b'"}}]}\n\n' + END,
            3,
        ),
        text=UNICODE,
    ),
    "bytes that are no UTF-8": Rude(
        "llama-cpp-python with byte tokens",
        [b'data: {"choices":[{"delta":{"content":"a \xff b"}}]}\n\n', END],
        text="a \ufffd b",
    ),
    "a BOM": Rude("ASP.NET", [b"\xef\xbb\xbf", *TWO, END]),
    # ---- the form of a stream
    "CRLF": Rude("IIS, ASP.NET", [joined(*TWO, END).replace(b"\n", b"\r\n")]),
    "CR": Rude("allowed by the format", [joined(*TWO, END).replace(b"\n", b"\r")]),
    "CRLF split over packets": Rude(
        "IIS, ASP.NET", split(joined(*TWO, END).replace(b"\n", b"\r\n"), 1)
    ),
    "no empty line between events": Rude(
        "home-made servers", [joined(*TWO, END).replace(b"\n\n", b"\n")]
    ),
    "no line end after the last": Rude("home-made servers", [*TWO, END.rstrip()]),
    "data in several lines": Rude(
        "pretty-printing proxies",
        [b'data: {"choices":\ndata: [{"delta": {"content":\ndata: "Paris is the capital."}}]}\n\n',
         END],
    ),
    "comments": Rude(
        "OpenRouter, TGI", [b": OPENROUTER PROCESSING\n\n", TWO[0], b":\n\n", TWO[1], END]
    ),
    "fields id, event and retry": Rude(
        "Cloudflare, Spring",
        [b"id: 1\nevent: message\nretry: 3000\n" + TWO[0], b"id: 2\n" + TWO[1], END],
    ),
    "empty data": Rude("Spring", [b"data:\n\n", *TWO, b"data: \n\n", END]),
    "no content type": Rude("home-made servers", [*TWO, END], headers={}),
    "another content type": Rude("Flask", [*TWO, END], headers=HTML),
    "gzip": Rude(
        "nginx",
        split(gzip.compress(joined(*TWO, END)), 20),
        headers={"Content-Type": "text/event-stream", "Content-Encoding": "gzip"},
    ),
    "a line of a megabyte": Rude(
        "vLLM with log-probabilities",
        [event({"choices": [{"delta": {"content": ANSWER}, "logprobs": "x" * 2**20}]}), END],
    ),
    "one packet": Rude("buffering proxies", [joined(*TWO, usage(completion_tokens=5), END)],
                       tokens=5),
    # ---- events
    "pings": Rude(
        "Anthropic's, LiteLLM",
        [b"data: {}\n\n", b'event: ping\ndata: {"type": "ping"}\n\n', *TWO, b"data: {}\n\n", END],
    ),
    "null where a list is meant": Rude(
        "Ollama", [event({"choices": None, "usage": None}), *TWO, END]
    ),
    "no choices at first": Rude(
        "Azure", [event({"choices": [], "prompt_filter_results": [{}]}), *TWO, END]
    ),
    "error is null": Rude(
        "GLM, Qianfan",
        [event({"error": None, "choices": [{"delta": {"content": ANSWER}}]}), END],
    ),
    # ---- text
    "a list of parts": Rude(
        "Mistral",
        [delta([{"type": "text", "text": "Paris is"}]),
         delta([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": " the capital."}]), END],
    ),
    "a list of strings": Rude("home-made servers", [delta(["Paris is", " the capital."]), END]),
    "message instead of delta": Rude(
        "Fireworks, Baichuan",
        [choice(message={"content": "Paris is"}), choice(message={"content": " the capital."}),
         END],
    ),
    "message beside delta": Rude(
        "Perplexity",
        [choice(delta={"content": "Paris is"}, message={"content": "Paris is"}),
         choice(delta={"content": " the capital."}, message={"content": ANSWER}),
         choice("stop", delta={"content": ""}, message={"content": ANSWER}), DONE],
    ),
    "text in a chat": Rude(
        "KoboldCpp", [choice(text="Paris is"), choice(text=" the capital."), END]
    ),
    "null text": Rude("vLLM, Ollama", [delta(None), *TWO, delta(None, "stop"), DONE]),
    "reasoning": Rude(
        "DeepSeek, vLLM",
        [choice(delta={"reasoning_content": "hmm", "content": None}), *TWO, END],
    ),
    "reasoning only": Rude(
        "DeepSeek, vLLM",
        [choice(delta={"reasoning_content": "hmm"}), choice("length", delta={}), DONE],
        text="", words="reasoned and wrote no answer within the longest answer allowed",
    ),
    "refusal": Rude(
        "OpenAI",
        [choice(delta={"refusal": "I can't "}), choice(delta={"refusal": "help with that."}), END],
        text="I can't help with that.",
    ),
    # ---- ends
    "DONE without a finish reason": Rude("TabbyAPI, proxies", [*TWO, DONE], finish=""),
    "DONE as JSON": Rude("home-made servers", [*TWO, b'data: "[DONE]"\n\n'], finish=""),
    "half a character in the end's word": Rude(
        "nobody yet",
        [*TWO, b'data: {"choices":[{"delta":{},"finish_reason":"st\\ud83dop"}]}\n\n', DONE],
        finish="st\ufffdop",
    ),
    "parts in parts in parts": Rude(
        "nobody yet",
        [b'data: {"choices":[{"text":' + b"[" * 900 + b'"x"' + b"]" * 900 + b"}]}\n\n"],
        text="", words="nested too deeply",
    ),
    "DONE and nothing else": Rude("TGI", [DONE], text="", words="without a word"),
    "nothing": Rude("proxies", [b""], text="", words="closed the stream before its end"),
    "the connection stays open": Rude(
        "Groq, at times", [*TWO, END, *[b": still here\n\n"] * 40]
    ),
    "an end in another word": Rude("Mistral", [*TWO, choice("model_length", delta={}), DONE],
                                   finish="length"),
    "cut by a filter": Rude(
        "Azure", [TWO[0], choice("content_filter", delta={}), DONE],
        text="Paris is", words="content filter at",
    ),
    "withheld by a filter": Rude(
        "Azure", [choice("content_filter", delta={}), DONE], text="", words="withheld the answer"
    ),
    "an end that is an error": Rude(
        "OpenRouter, DeepSeek", [TWO[0], choice("error", delta={}), DONE],
        text="Paris is", words="the server ended it with 'error'",
    ),
    "cut off": Rude("any", TWO, words="closed the stream before its end"),
    # ---- counts
    "counts as strings": Rude(
        "SiliconFlow", [*TWO, usage(prompt_tokens="7", completion_tokens="5"), END], tokens=5
    ),
    "counts with every event": Rude(
        "vLLM",
        [event({"choices": [{"delta": {"content": t}}], "usage": {"completion_tokens": n}})
         for t, n in (("Paris is", 2), (" the capital.", 5))] + [END],
        tokens=5,
    ),
    "counts in the choice": Rude(
        "Moonshot", [*TWO, choice("stop", delta={}, usage={"completion_tokens": 5}), DONE], tokens=5
    ),
    "counts of nonsense": Rude(
        "home-made servers",
        [*TWO, event({"choices": [], "usage": {"completion_tokens": {"total": 5}}}),
         usage(completion_tokens=-1), usage(completion_tokens=True),
         usage(completion_tokens="many"),
         event({"choices": [], "usage": "5 tokens"}), event({"choices": [], "usage": [5]}), END],
    ),
    "counts of nothing": Rude("LM Studio", [*TWO, usage(completion_tokens=0), END]),
    # ---- no stream
    "a whole answer": Rude(
        "servers that cannot stream", [json.dumps(WHOLE).encode()], headers=JSON, tokens=5
    ),
    "a whole answer, indented": Rude(
        "servers that cannot stream", split(json.dumps(WHOLE, indent=2).encode(), 40),
        headers=JSON, tokens=5,
    ),
    "JSON lines": Rude(
        "Ollama behind a proxy",
        [joined(*TWO, choice("stop", delta={})).replace(b"data: ", b"").replace(b"\n\n", b"\n")],
        headers={"Content-Type": "application/x-ndjson"},
    ),
    "an error under 200": Rude(
        "One API, gateways", [b'{"error": {"message": "No such plan.", "code": "plan"}}'],
        headers=JSON, text="", words="It says: No such plan.",
    ),
    "an error in words under 200": Rude(
        "LM Studio", [b'{"error": "Model unloaded."}'], headers=JSON, text="",
        words="It says: Model unloaded.",
    ),
    "an error in a list": Rude(
        "Gemini", [b'[{"error": {"code": 400, "message": "API key not valid.", "status": "X"}}]'],
        headers=JSON, text="", words="It says: API key not valid.",
    ),
    "an error of FastChat": Rude(
        "FastChat", [event({"text": "**NETWORK ERROR**", "error_code": 50001}), DONE],
        text="", words="It says: **NETWORK ERROR**",
    ),
    "an error of vLLM": Rude(
        "vLLM before 0.10",
        [TWO[0], event({"object": "error", "message": "Engine died.", "code": 500}), DONE],
        text="Paris is", words="Engine died.",
    ),
    "an error in the stream": Rude(
        "LiteLLM, TGI",
        [TWO[0], event({"error": {"message": "Request failed during generation",
                                  "http_status_code": 422}}), DONE],
        text="Paris is", words="It says: Request failed during generation",
    ),
    "an error's name": Rude(
        "Anthropic's, Bedrock",
        [TWO[0], b'event: error\ndata: {"type": "error", "message": "Throttled."}\n\n'],
        text="Paris is", words="It says: Throttled.",
    ),
    "an error's name and words": Rude(
        "Spring", [TWO[0], b"event: error\ndata: Internal failure\n\n"],
        text="Paris is", words="It says: Internal failure",
    ),
    "a field called error": Rude(
        "llama.cpp before 2025",
        [TWO[0], b'error: {"code": 500, "message": "slot was lost"}\n\n'],
        text="Paris is", words="slot was lost",
    ),
    "an error without data": Rude(
        "nginx in mid-stream", [TWO[0], b'{"error": {"message": "upstream timed out"}}'],
        text="Paris is", words="It says: upstream timed out",
    ),
    "an error in a choice": Rude(
        "OpenRouter",
        [TWO[0], choice("error", delta={"content": ""}, error={"message": "Provider is down."})],
        text="Paris is", words="It says: Provider is down.",
    ),
    "an error that is true": Rude(
        "home-made servers", [b'{"error": true, "message": "Out of credit."}'], headers=JSON,
        text="", words="It says: Out of credit.",
    ),
    "FastAPI's detail": Rude(
        "FastAPI", [b'{"detail": "Not today."}'], headers=JSON, text="",
        words="It says: Not today.",
    ),
    "a login page": Rude(
        "proxies", [LOGIN], headers=HTML, text="", words="a web page called 'Sign in & go'"
    ),
    "a login page under the wrong type": Rude(
        "captive portals", split(LOGIN, 7), text="", words="a web page called 'Sign in & go'"
    ),
    "an error page": Rude(
        "Cloudflare", [b"<html><head><title>524: A timeout occurred</title></head></html>"],
        status=524, headers=HTML, text="", words="524: A timeout occurred",
    ),
    "a sentence": Rude(
        "proxies", [b"upstream connect error or disconnect"], headers={}, text="",
        words="upstream connect error or disconnect",
    ),
    "another protocol": Rude(
        "Anthropic's own API",
        [event({"type": "content_block_delta", "delta": {"text": "Paris"}}),
         event({"type": "message_stop"})],
        text="", words="content_block_delta",
    ),
    "endless brackets": Rude(
        "nobody yet", [b"data: " + b"[" * 100_000 + b"\n\n"], text="", words="not an event"
    ),
    "half an event": Rude(
        "proxies", [TWO[0], b'data: {"choices": [{"delta": {"cont'],
        text="Paris is", words="not an event",
    ),
    "choices in another form": Rude(
        "home-made servers", [event({"choices": {"0": {"text": "Paris"}}})], text="",
        words="not an event",
    ),
}  # fmt: skip
"""By name. What cuts an answer short keeps the text that came."""
