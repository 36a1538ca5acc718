"""A page is one folder and one line in the table of pages."""

import importlib.util

import httpx2
import pytest

import app as the_app
from dashboards import routes
from dashboards.routes import PAGES, Route
from imitation.settings import read_settings

PAGE = '''
"""A new page."""

import gradio as gr

from dashboards.shell.context import Context


def build(context: Context) -> None:
    """Add the page."""
    gr.HTML(f"<h1>{len(context.catalog())} models on a new page</h1>", elem_id="new-page")
'''


@pytest.fixture
def new_page(tmp_path):
    (tmp_path / "page.py").write_text(PAGE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("new_page", tmp_path / "page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_new_page_is_a_folder_and_a_line_in_the_table(tmp_path, monkeypatch, new_page):
    monkeypatch.setattr(routes, "PAGES", (*PAGES, Route("New", "/new", new_page.build)))
    data = {"IMITATION_DATA": str(tmp_path / "data"), "IMITATION_CACHE": str(tmp_path / "cache")}
    demo, context = the_app.build(read_settings(data))
    try:
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
        html = httpx2.get(f"{url}new").text
        assert "models on a new page" in html and '"New"' in html, "it is there, and listed"
        assert "models on a new page" not in httpx2.get(url).text, "and nowhere else"
    finally:
        demo.close()
        context.jobs.close()
        context.db.close()


def test_addresses_and_titles_are_used_once():
    for values in ([page.path for page in PAGES], [page.title for page in PAGES]):
        assert len(set(values)) == len(values)
