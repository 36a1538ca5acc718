"""The form of the Data page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from dashboards.data import sources
from dashboards.data.new_dataset import BUDGETS, STEPS, Form
from dashboards.shell.templates import render
from imitation.data.sources.load import Source
from imitation.errors import UserError

SOURCES = (
    "A preset of the hub, a file of the data folder, or hub:OWNER/NAME. JSON, JSONL, CSV and "
    "Parquet (plain, gzipped or zipped) in the shapes of ShareGPT, OpenAI, Alpaca, LLaMA-Factory, "
    "Dolly, Orca, HC3, UltraChat, LIMA, OASST and ChatGPT's own export are told apart by their "
    "fields; look before you add."
)
NUMBERS = {
    "least": "Fewest words",
    "most": "Most words",
    "max_bleu": "Highest BLEU",
    "seed": "Seed",
}
"""Fields that cannot be empty, and their labels."""
LANGUAGES = (
    "en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "ro", "hu", "el",
    "tr", "ru", "uk", "ar", "he", "fa", "hi", "id", "vi", "th", "ja", "ko", "zh",
)  # fmt: skip


def source_form() -> tuple[gr.Dropdown, gr.Button, gr.File]:
    """What names a source, looks at it, and takes a file."""
    gr.HTML(render("data/note.html", text=SOURCES))
    with gr.Row(elem_classes="lab-end"):
        source = gr.Dropdown(
            [], label="Source", allow_custom_value=True, scale=5, min_width=260,
            elem_id="data-source",
        )  # fmt: skip
        look = gr.Button("Look at it", scale=1, min_width=120, elem_id="data-look")
    with gr.Accordion("A file of your own", open=False):
        upload = gr.File(
            label="JSON, JSONL, CSV or Parquet, also gzipped or zipped",
            file_types=list(sources.SUFFIXES), height=120, elem_id="data-upload",
        )  # fmt: skip
    return source, look, upload


def settings_form() -> dict[str, Component]:
    """Name, budget, steps and their settings, by field of `Form` and as it has them at first."""
    start = Form("", ())
    with gr.Row():
        name = gr.Textbox(
            label="Name", info="Of the dataset and its folder.", max_length=80, elem_id="data-name"
        )
        weights = gr.Textbox(
            label="Weights", info="One per source, such as 3 1. Empty: all of each.",
            max_length=200, elem_id="data-weights",
        )  # fmt: skip
        budget = gr.Dropdown(
            [("Everything", ""), *((size, size) for size in BUDGETS)], value="",
            label="Token budget", info="Drawn with the seed; type any, such as 2.5M.",
            allow_custom_value=True, elem_id="data-budget",
        )  # fmt: skip
        seed = gr.Number(
            start.seed, label="Seed", info="The same seed draws the same.", precision=0,
            min_width=120, elem_id="data-seed",
        )  # fmt: skip
    steps = gr.CheckboxGroup(
        [(label, key) for key, (label, _) in STEPS.items()], value=list(start.steps),
        label="Steps, in this order", elem_id="data-steps",
    )  # fmt: skip
    with gr.Accordion("Settings of the steps", open=False, elem_id="data-settings"):
        about = "; ".join(f"{label}: {what}" for label, what in STEPS.values())
        gr.HTML(render("data/note.html", text=f"{about}."))
        with gr.Row():
            languages = gr.Dropdown(
                list(LANGUAGES), value=list(start.languages), multiselect=True,
                allow_custom_value=True, label="Languages kept", info="Codes of ISO 639-1.",
                elem_id="data-languages",
            )  # fmt: skip
            similarity = gr.Slider(
                0.6, 1, start.similarity, step=0.01, label="Similarity of near-duplicates",
                info="Of 5-character pieces; 1 is the same text.", elem_id="data-similarity",
            )  # fmt: skip
            max_bleu = gr.Number(
                start.max_bleu, label="Highest BLEU", info="Against an evaluation prompt.",
                elem_id="data-bleu",
            )  # fmt: skip
        with gr.Row():
            least = gr.Number(start.least, label="Fewest words", precision=0, min_width=120)
            most = gr.Number(start.most, label="Most words", precision=0, min_width=120)
            limit = gr.Number(
                0, label="Conversations per source", info="0: all of them.", precision=0,
                elem_id="data-limit",
            )  # fmt: skip
            tokenizer = gr.Textbox(
                label="Tokenizer", info="A model of the hub or a folder. Empty: estimated.",
                elem_id="data-tokenizer",
            )  # fmt: skip
        against = gr.Dropdown(
            [], value=[], multiselect=True, label="More evaluation prompts",
            info="Uploaded files whose prompts the data should not give away; the lab's own count "
            "always.", elem_id="data-against",
        )  # fmt: skip
        diversity = gr.Checkbox(
            start.diversity, label="Measure how alike the queries are (nearest-query BLEU)"
        )
    return {
        "name": name,
        "weights": weights,
        "steps": steps,
        "languages": languages,
        "similarity": similarity,
        "least": least,
        "most": most,
        "max_bleu": max_bleu,
        "budget": budget,
        "limit": limit,
        "seed": seed,
        "tokenizer": tokenizer,
        "diversity": diversity,
        "against": against,
    }


def form_from(mixture: Sequence[Source], values: Mapping[str, Any]) -> Form:
    """The form as filled in.

    Args:
        mixture: The sources added.
        values: Of the components, by field of `Form`.

    Raises:
        UserError: A number is missing.
    """
    for field, label in NUMBERS.items():
        if values[field] is None:
            raise UserError(f"{label} is empty.", "Enter a number.")
    return Form(
        name=(values["name"] or "").strip(),
        sources=tuple(mixture),
        weights=values["weights"] or "",
        steps=tuple(values["steps"] or ()),
        languages=tuple(values["languages"] or ()),
        similarity=float(values["similarity"]),
        least=int(values["least"]),
        most=int(values["most"]),
        max_bleu=float(values["max_bleu"]),
        budget=values["budget"] or "",
        limit=int(values["limit"]) if values["limit"] else None,  # 0: all of them
        seed=int(values["seed"]),
        tokenizer=values["tokenizer"] or "",
        diversity=bool(values["diversity"]),
        against=tuple(values["against"] or ()),
    )
