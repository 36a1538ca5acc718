"""Prompt formats: how a conversation becomes the text a model continues.

Training and serving must agree on this text to the character, so both take it from here, and a
checkpoint carries its format beside its weights (`save`, `load`). Every format keeps one promise:
the prompt rendered up to an answer is a prefix of the conversation rendered with that answer.
A format also says whether its prompts get the tokenizer's special tokens (`special_tokens`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Never, Protocol, cast

import jinja2
from jinja2.ext import Extension
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from imitation.errors import IntegrityError, UserError
from imitation.values import Message, Speaker

FILE = "prompt_format.json"


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` up to `end` of a rendered text that one speaker wrote.

    The span of an assistant includes the end-of-turn token, which the model has to learn too;
    those of the other speakers are their content alone.
    """

    start: int
    end: int
    role: Speaker


@dataclass(frozen=True, slots=True)
class Rendered:
    """Text of a conversation, and who wrote which characters (spans in order, no overlap)."""

    text: str
    spans: tuple[Span, ...]

    @property
    def outputs(self) -> tuple[Span, ...]:
        """Spans the model wrote: what the loss is taken on."""
        return tuple(span for span in self.spans if span.role == "assistant")


class PromptFormat(Protocol):
    """A way to write a conversation as text."""

    @property
    def name(self) -> str:
        """As in a card's `prompt_format`."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer, besides the tokenizer's own end-of-sequence token."""

    @property
    def special_tokens(self) -> bool:
        """Whether a prompt's text gets what the tokenizer puts around a text, LLaMA's BOS.

        Servers of completions do that (vLLM, llama.cpp and TGI alike); a chat template writes its
        special tokens itself, and they add none to it.
        """

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> Rendered:
        """The text of `messages`, followed by what asks for an answer if wanted."""


@dataclass(frozen=True, slots=True)
class Koala:
    """The paper's format: `BEGINNING OF CONVERSATION: USER: {query} GPT:{answer}</s>`.

    Later turns follow without a separator. A system message, which Koala does not have, is put
    after the opening words.

    Attributes:
        end_of_turn: What ends an answer; for training, the tokenizer's own end-of-sequence token.
    """

    end_of_turn: str = "</s>"
    name = "koala"
    special_tokens = True

    @property
    def stop(self) -> tuple[str, ...]:
        """End of turn as text, and the next query, which an untuned base writes by itself."""
        return (self.end_of_turn, "USER:")

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> Rendered:
        """See PromptFormat."""
        writer = _Writer("BEGINNING OF CONVERSATION: ")
        for message in messages:
            if message.role == "assistant":
                writer.say(message, " GPT:", self.end_of_turn)
            elif message.role == "user":
                writer.say(message, "USER: ", "")
            else:
                writer.say(message, "", " ")
        return writer.finish(" GPT:" if add_generation_prompt else "")


@dataclass(frozen=True, slots=True)
class Plain:
    """Turns as bare text with an empty line between them, for models without any format.

    Attributes:
        end_of_turn: What ends an answer; for training, the tokenizer's own end-of-sequence token.
        separator: What stands between a query and its answer, and between turns.
    """

    end_of_turn: str = ""
    separator: str = "\n\n"
    name = "plain"
    special_tokens = True

    @property
    def stop(self) -> tuple[str, ...]:
        """The end of turn, if there is one: a base without one writes until its limit."""
        return (self.end_of_turn,) if self.end_of_turn else ()

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> Rendered:
        """See PromptFormat."""
        writer = _Writer("")
        for index, message in enumerate(messages):
            before = self.separator if index else ""
            writer.say(message, before, self.end_of_turn if message.role == "assistant" else "")
        return writer.finish(self.separator if add_generation_prompt and messages else "")


@dataclass(frozen=True, slots=True)
class Raw(Plain):
    """Text as it is: what evaluation sends a model without a format, which lm-eval wrote whole."""

    separator: str = ""
    name = "raw"


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A model's own chat template (jinja), rendered as transformers renders it.

    Attributes:
        template: The template; empty where only the server knows it, and nothing renders here.
        end_of_turn: Token that ends an answer, `<|im_end|>` in ChatML.
        bos_token: The tokenizer's begin-of-sequence token, for templates that write it.
        eos_token: The tokenizer's end-of-sequence token; empty takes `end_of_turn`.
    """

    template: str = ""
    end_of_turn: str = "<|im_end|>"
    bos_token: str = ""
    eos_token: str = ""
    name = "chat"
    special_tokens = False

    @property
    def stop(self) -> tuple[str, ...]:
        """None of ours: the end of turn is a token the server itself stops at."""
        return ()

    def text(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """The rendered text alone.

        Raises:
            UserError: No template, a broken one, or one that refuses these messages.
        """
        if not self.template:
            raise UserError(
                "This chat template is known to the server only.",
                "Give the template (chat_template.jinja, or tokenizer.chat_template of a GGUF).",
            )
        try:
            return _compile(self.template).render(
                messages=[{"role": m.role, "content": m.content} for m in messages],
                add_generation_prompt=add_generation_prompt,
                bos_token=self.bos_token,
                eos_token=self.eos_token or self.end_of_turn,
            )
        except (jinja2.TemplateError, TypeError) as error:
            roles = ", ".join(m.role for m in messages)
            raise UserError(f"The chat template failed on turns {roles}: {error}") from error

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> Rendered:
        """See PromptFormat; spans are found by rendering one turn more at a time.

        Raises:
            UserError: As `text`, or the template rewrites earlier turns when later ones are
                added (some drop old reasoning), so that no turn has a place of its own.
        """
        full = self.text(messages, add_generation_prompt=add_generation_prompt)
        spans: list[Span] = []
        done = 0
        for index, message in enumerate(messages):
            upto = self.text(messages[: index + 1])
            start = done
            if message.role == "assistant":
                prompt = self.text(messages[:index], add_generation_prompt=True)
                start = len(prompt)
                if not upto.startswith(prompt):
                    self._rewrites(index)
            if not full.startswith(upto):
                self._rewrites(index)
            spans.append(self._span(message, full, start, len(upto)))
            done = len(upto)
        return Rendered(full, tuple(spans))

    def _span(self, message: Message, full: str, start: int, end: int) -> Span:
        if message.role != "assistant":
            # From the right: a template's default system text comes before the first turn.
            content = message.content.strip()
            found = full.rfind(content, start, end)
            if found < 0:
                return Span(end, end, message.role)
            return Span(found, found + len(content), message.role)
        turn = full.rfind(self.end_of_turn, start, end) if self.end_of_turn else -1
        return Span(start, turn + len(self.end_of_turn) if turn >= 0 else end, message.role)

    def _rewrites(self, index: int) -> Never:
        raise UserError(
            f"The chat template renders turn {index + 1} differently once later turns follow.",
            "Train on single-turn conversations, or use a template that leaves turns alone.",
        )


FORMATS: dict[str, type[Koala] | type[Plain] | type[ChatTemplate]] = {
    "chat": ChatTemplate,
    "koala": Koala,
    "plain": Plain,
    "raw": Raw,
}


def prompt_format(name: str, **values: str) -> PromptFormat:
    """The format called `name`, as cards name it, with its attributes.

    Raises:
        UserError: Unknown name, or an attribute the format does not have.
    """
    if name not in FORMATS:
        raise UserError(f"There is no prompt format {name!r}.", f"Known: {', '.join(FORMATS)}.")
    try:
        return cast(PromptFormat, FORMATS[name](**values))
    except TypeError as error:
        raise UserError(f"Prompt format {name!r}: {error}") from error


def render(
    messages: Sequence[Message], fmt: PromptFormat | str, add_generation_prompt: bool = False
) -> Rendered:
    """Text of a conversation in a format, given itself or by name, with who wrote what.

    Raises:
        UserError: The format is unknown or cannot render these messages here.
    """
    fmt = prompt_format(fmt) if isinstance(fmt, str) else fmt
    return fmt.render(messages, add_generation_prompt=add_generation_prompt)


def save(fmt: PromptFormat, folder: Path) -> Path:
    """Write `fmt` as prompt_format.json beside a checkpoint; the file's path."""
    path = folder / FILE
    text = json.dumps(as_table(fmt), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def as_table(fmt: PromptFormat) -> dict[str, Any]:
    """A format as plain values, as `save` writes them."""
    return {"format": fmt.name, **asdict(cast(Any, fmt))}


def load(folder: Path) -> PromptFormat:
    """The format saved beside a checkpoint.

    Raises:
        IntegrityError: The file is absent, or not one that `save` wrote.
    """
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return prompt_format(values.pop("format"), **values)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, UserError) as error:
        raise IntegrityError(
            f"{path} does not hold a prompt format: {error}",
            "Each checkpoint of ours carries one; copy it from the run this one came from.",
        ) from error


class _Writer:
    """Text so far, and its spans."""

    def __init__(self, opening: str) -> None:
        self._text = opening
        self._spans: list[Span] = []

    def say(self, message: Message, before: str, after: str) -> None:
        start = len(self._text) + len(before)
        self._text += before + message.content + after
        # A model learns to end its turn; what follows other speakers belongs to nobody.
        end = len(self._text) if message.role == "assistant" else start + len(message.content)
        self._spans.append(Span(start, end, message.role))

    def finish(self, closing: str) -> Rendered:
        return Rendered(self._text + closing, tuple(self._spans))


class _Generation(Extension):
    """`{% generation %}`, with which transformers marks answers; here its body as it is."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it so

    def parse(self, parser: Parser) -> Node | list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=32)
def _compile(template: str) -> jinja2.Template:
    """A template in the sandbox, with the whitespace rules and names transformers gives it."""

    def refuse(message: str) -> Never:
        raise jinja2.TemplateError(message)

    def tojson(value: object, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = refuse
    return environment.from_string(template)
