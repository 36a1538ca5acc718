"""A finished run to the hub, with its model card.

    HF_TOKEN=... python -m training.publish --run runs/broad --repo me/my-imitation

The repository is made private unless --public is given. The token is read from HF_TOKEN in the
environment and nowhere else. Sent are the checkpoint, its GGUF where there is one, README.md
(the card) and imitation.json (the same as values); paths of this machine stay here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imitation.errors import StorageError, UserError
from imitation.events import Writer
from imitation.jobs.parameters import run
from imitation.models.catalog import load_catalog
from imitation.settings import read_settings, secret
from training.model_card import describe, markdown
from training.run_folder import ADAPTER, ADAPTER_CONFIG, CHECKPOINT, CONFIG, MODEL
from training.run_options import Publish

TOKEN = "HF_TOKEN"
_REPO = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}")
_WEIGHTS = (".safetensors", ".json", ".jinja", ".txt", ".model")


def files_of(run: Path, card: dict[str, Any]) -> dict[str, Path | bytes]:
    """What is sent: name in the repository -> file or content."""
    found: dict[str, Path | bytes] = {
        path.name: path
        for path in sorted((run / CHECKPOINT).iterdir())
        if path.is_file() and path.suffix in _WEIGHTS
    }
    found |= {name: run / name for name in (ADAPTER, MODEL) if (run / name).is_file()}
    if ADAPTER_CONFIG in found:  # PEFT writes the folder its base was loaded from
        table = json.loads((run / CHECKPOINT / ADAPTER_CONFIG).read_text("utf-8"))
        table["base_model_name_or_path"] = card["base"]["id"]
        found[ADAPTER_CONFIG] = _json(table)
    found[CONFIG] = _json(card["config"])  # where the base was a folder: without its path
    found["README.md"] = markdown(card).encode()
    found["imitation.json"] = _json(card)
    return found


def push(run: Path, repo: str, card: dict[str, Any], token: str, public: bool) -> str:
    """Send a run; the address of its repository.

    Raises:
        UserError: The hub refuses, can't be reached, or the token isn't good for it.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token)
    operations = [
        CommitOperationAdd(name, str(file) if isinstance(file, Path) else file)
        for name, file in files_of(run, card).items()
    ]
    try:
        made = api.create_repo(repo, private=not public, exist_ok=True)
        api.create_commit(
            repo, operations, commit_message=f"Imitation model {card['id']}", token=token
        )
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        why = {
            401: f"the token in {TOKEN} is not valid",
            403: f"the token in {TOKEN} may not write to {repo}",
            404: f"{repo} is not there for the token in {TOKEN}",
        }.get(status or 0, f"it answered {status}")
        hint = "Make a token with the right to write, at huggingface.co/settings/tokens."
        raise UserError(f"The hub took nothing: {why}.", hint if status in (401, 403, 404) else
                        "Try again later.") from error  # fmt: skip
    except (OSError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__).replace(token, "...")
        raise UserError(f"{repo} could not be sent: {first}", "Check the connection.") from error
    except Exception as error:  # the client lets errors of its transport through as they are
        raise UserError(
            f"The hub cannot be reached ({type(error).__name__}).", "Check the connection."
        ) from error
    return str(made)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run(Publish, _work, argv, prog="python -m training.publish", about=__doc__ or "")


def _work(options: Publish) -> int:
    report = Writer(None)
    try:
        report = Writer(options.progress)
        token = _checked_token(options)
        catalog = load_catalog(read_settings().catalogs)
        card = describe(options.run, catalog, options.data)
        report.write("sending", f"Sending {options.run} to {options.repo} ...")
        url = push(options.run, options.repo, card, token, options.public)
    except UserError as error:
        report.failed("push", error)
        return 2
    report.write("end", f"Sent to {url}", url=url)
    return 0


def _checked_token(options: Publish) -> str:
    """The token, once everything is known to be in order.

    Raises:
        UserError: A name is wrong, there is no token, or the machine is offline.
    """
    if not _REPO.fullmatch(options.repo):
        raise UserError(f"{options.repo!r} is no name of a repository.", "Write it OWNER/NAME.")
    if read_settings().offline:
        raise UserError("The hub is out of reach: IMITATION_OFFLINE is set.", "Unset it.")
    token = secret(TOKEN)
    if token is None:
        raise UserError(
            f"There is no token: {TOKEN} is not set.",
            f"Set {TOKEN} in the environment of the app; it is never stored.",
        )
    if not options.run.is_dir():
        raise StorageError(f"There is no run {options.run}.")
    return token


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    sys.exit(main())
