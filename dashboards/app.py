"""The app: read settings, open the store, build the pages, launch."""

from __future__ import annotations

import logging
import sys

import gradio as gr
from starlette.middleware import Middleware

from dashboards.routes import build_pages, head
from dashboards.shell.context import Context
from dashboards.shell.fault_log import tell_faults_once
from dashboards.shell.sessions import MOST_SESSIONS
from dashboards.shell.theme import css_path, theme
from dashboards.shell.typed_text import TypedText
from imitation.errors import UserError
from imitation.models.backends.registry import Backends
from imitation.settings import (
    Settings,
    keep_loopback_off_proxies,
    let_listeners_overlap,
    read_settings,
    server_address,
)
from imitation.storage.database import open_store

log = logging.getLogger(__name__)

TITLE = "Imitation Lab"


def build(settings: Settings) -> tuple[gr.Blocks, Context]:
    """The pages and what they work with; starts nothing.

    Raises:
        UserError: The data folder cannot be used.
    """
    db, notice = open_store(settings.database)
    context = Context(settings, db, Backends(settings), [notice] if notice else [])
    return build_pages(context, TITLE), context


def main() -> int:
    """Run the app until it is stopped; 1 with a sentence where it cannot start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    tell_faults_once()
    keep_loopback_off_proxies()
    let_listeners_overlap()
    try:
        address, port = server_address()
        demo, context = build(read_settings())
        context.jobs.watch()  # those of an earlier start go on
        demo.launch(
            theme=theme(),
            css_paths=css_path,
            head=head(),
            footer_links=["api"],
            # Gradio's page of past runs would connect buckets of the hub with this app's HF_TOKEN.
            run_history=False,
            enable_monitoring=False,  # would tell anybody how much which part of the app is used
            max_file_size=context.settings.upload_bytes,
            state_session_capacity=MOST_SESSIONS,
            server_name=address,
            server_port=port,
            app_kwargs={"middleware": [Middleware(TypedText)]},
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while still starting; afterwards Gradio itself ends quietly
        return 130
    except OSError as error:
        log.debug("cannot listen", exc_info=error)
        taken = f"Port {port} is" if port else "All ports from 7860 to 7959 are"
        print(f"{taken} in use. Set GRADIO_SERVER_PORT to a free one.", file=sys.stderr)
        return 1
    return 0
