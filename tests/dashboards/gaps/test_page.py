import csv
import io
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import dashboards
from dashboards.gaps.page import page_html
from dashboards.paper import findings
from dashboards.paper.figure_page import figures_json
from dashboards.paper.gallery import gallery
from dashboards.paper.sections import Section, sections
from dashboards.paper.tables import by_size, by_tokens, to_csv
from dashboards.shell.context import Context
from imitation.models.backends.registry import Backends
from imitation.published import load_later, load_paper, only, select
from imitation.settings import read_settings
from imitation.storage.database import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAPER, LATER = load_paper(), load_later()
R = PAPER.records


def series(where: str, benchmark: str | None = None) -> list[float]:
    found = select(R, where=where, benchmark=benchmark, role="imitation")
    return [r.value for r in sorted(found, key=lambda r: (r.tokens_m or 0, r.params_b or 0))]


def base(where: str, benchmark: str | None = None) -> float:
    found = only(select(R, where=where, benchmark=benchmark), "base")
    assert found is not None
    return found.value


BENCHMARKS = ("MMLU", "Natural Questions", "HumanEval")


def test_more_data_claim() -> None:
    for name in BENCHMARKS:
        assert max(series("Figure 4 top", name)) < base("Figure 4 top", name)
    questions = series("Figure 4 top", "Natural Questions")
    assert questions == sorted(questions, reverse=True)
    assert "from 20.5 to 13.5" in findings.more_data(R)


def test_bigger_base_claim() -> None:
    said = findings.bigger_base(R)
    for name in BENCHMARKS:
        values = series("Figure 4 bottom", name)
        assert values == sorted(values)
        assert f"from {values[0]:g} to {values[-1]:g} on {name}" in said


def test_broad_or_local_claim() -> None:
    for size in (7, 13):
        group = {r.imitation_data: r.value for r in select(R, where="Table 1", params_b=size)}
        assert group["ShareGPT-Mix"] < group[None] < group["NQ-synthetic"]
    said = findings.broad_or_local(R)
    assert "costs a 13B base 5 points" in said
    assert "gains it 7 (20 to 27, where ChatGPT has 31)" in said


def test_style_claim() -> None:
    late, early = findings.style_gaps(R, 150), findings.style_gaps(R, 20)
    assert len(late) == len(early) == 5
    assert late[0] == pytest.approx((81 - 13) / (83 - 13))
    assert "77% to 100% of the gap" in findings.style(R)
    assert "at 20M already 53% or more" in findings.style(R)


def test_judges_claim() -> None:
    for where in ("Figure 1 left", "Figure 3 left"):
        assert min(series(where)) > 10 * base(where)
    said = findings.judges(R)
    assert "66.8 to 69.9%" in said and "36.3 to 42.9%" in said
    assert "1.8%" in said and "1.6%" in said
    assert series("Figure 4 top", "Natural Questions")[-1] < 20.5


def test_toxicity_claim() -> None:
    values = series("Figure 5")
    assert values == sorted(values) and values[0] > base("Figure 5")
    said = findings.toxicity(R)
    assert "0.838 to 0.881 at 150M tokens, 54% of the way to ChatGPT's 0.917" in said


def test_query_types_claim() -> None:
    assert findings.query_types(PAPER.query_types).endswith(
        "Generation leads with 31% of the queries, before General QA and Coding with 16% each."
    )


def test_since_then_claim() -> None:
    said = findings.since_then(LATER)
    assert "28.9% to 72.6% (9.3% for GPT-4o, 79.8% for R1 itself)" in said
    assert "BIG-Bench Hard (49.7 to 48.9), not on AGIEval (41.7 to 47.2)" in said


def test_both_accounts_of_natural_questions_are_given_where_either_is_shown() -> None:
    said = findings.two_accounts(R)
    for part in ("20 for the base and 15", "zero-shot", "25.5 and 13.5", "3-shot"):
        assert part in said
    by_id = {s.id: s for s in sections(PAPER, LATER)}
    assert said in by_id["more-data"].notes and said in by_id["broad-local"].notes


@pytest.fixture(scope="module")
def shown() -> list[Section]:
    return sections(PAPER, LATER)


def test_every_figure_and_record_has_its_section(shown: list[Section]) -> None:
    slots = [slot.id for section in shown for slot in section.figures]
    assert sorted(slots) == sorted(gallery())
    held = {id(r) for section in shown for r in section.records}
    assert all(id(r) in held for r in (*R, *LATER))


def test_page_holds_every_value_before_any_script(shown: list[Section]) -> None:
    page = unescape(page_html(shown))
    for section in shown:
        block = page.split(f'id="{section.id}"')[1].split("</section>")[0]
        assert section.finding in re.sub(r"</?span[^>]*>", "", block)
        cells = {float(text) for text in re.findall(r">(-?\d+\.?\d*)<", block)}
        for record in section.records:
            assert record.value in cells, record
    assert "<script" not in page


def test_gap_switch_is_off_where_no_gap_is_defined(shown: list[Section]) -> None:
    figures = figures_json()["figures"]
    for section in shown:
        block = page_html(shown).split(f'id="{section.id}"')[1].split("</section>")[0]
        if section.no_gap:
            assert "disabled" in block and "Gap closed is not defined" in block
        for slot in section.figures:
            on = bool(section.records) and not section.no_gap
            assert (figures[slot.id]["gap"] is not None) == on


def test_tables_say_what_is_missing() -> None:
    (row,) = by_tokens(select(R, where="Figure 1 left"), "c").rows
    assert row[1:] == ("1.8", "69.9", "69.0", "66.8", "not reported", "not defined",
                       "Figure 1 left, digitised ±0.6")  # fmt: skip
    for row in by_size(select(R, where="Figure 4 bottom"), "c").rows:
        assert row[1] == "not reported" and row[-3:-1] == ("not reported", "not defined")
    html = by_tokens(select(R, where="Figure 1 left"), "<b>").html()
    assert "&lt;b&gt;" in html and 'class="lab-missing">not reported' in html


def test_csv_is_complete_and_unclipped() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv([*R, *LATER]))))
    assert [float(line["value"]) for line in lines] == [r.value for r in (*R, *LATER)]
    worst = min(float(line["gap_closed"]) for line in lines if line["gap_closed"])
    assert worst == pytest.approx((13.5 - 25.5) / (31 - 25.5), abs=1e-4)
    assert max(float(x["gap_closed"]) for x in lines if x["gap_closed"]) > 1
    later = [line for line in lines if line["study"]]
    assert later and all(line["gap_closed"] == "" for line in later)


def test_csv_of_7b_takes_its_own_base() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(select(R, where="Table 1")))))
    gaps = {(x["params_b"], x["imitation_data"]): x["gap_closed"] for x in lines}
    assert gaps["7", "ShareGPT-Mix"] == "-0.5000"
    assert gaps["13", "NQ-synthetic"] == f"{7 / 11:.4f}"


@pytest.mark.slow
def test_starting_the_page_neither_imports_plotly_objects_nor_torch() -> None:
    code = (
        "import sys, gradio as gr\nfrom dashboards.gaps import page as gaps\n"
        "with gr.Blocks():\n    gaps.build(None)\n"
        "print([m for m in ('plotly.graph_objects', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_csv_link_is_the_csv(shown: list[Section]) -> None:
    page = page_html(shown)
    found = re.findall(r'href="data:text/csv;charset=utf-8,([^"]*)" download="([^"]*)"', page)
    links = {unescape(name): unquote(data) for data, name in found}
    assert links["toxicity.csv"] == to_csv(select(R, where="Figure 5"))
    assert links["query-types.csv"].splitlines()[1] == "Generation,31"
    assert len(links) == len(shown)


# The page in a real browser


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import gradio as gr

    from dashboards.gaps import page as gaps
    from dashboards.shell.theme import css_path, theme

    settings = read_settings({"IMITATION_DATA": str(tmp_path_factory.mktemp("data"))})
    context = Context(settings, connect(settings.database), Backends(settings))
    with gr.Blocks(analytics_enabled=False) as demo:
        gr.Navbar(main_page_name="Compare")
        gr.Textbox(label="First page")
    with demo.route("Gaps", "/gaps"):
        gaps.build(context)
    _, address, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, theme=theme(), css_paths=css_path,
        server_name="127.0.0.1", ssr_mode=False,
    )  # fmt: skip
    yield f"{address.rstrip('/')}/gaps"
    demo.close()
    context.jobs.close()
    context.db.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install it with `make chromium` or the system's package")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    made = browser.new_page(viewport={"width": 1440, "height": 900})
    made.set_default_timeout(90_000)
    problems: list[str] = []
    made.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on(
        "request",
        lambda r: None if r.url.startswith((url[: url.rindex("/")], "data:", "blob:"))
        else problems.append(f"went to {r.url}"),
    )  # fmt: skip
    yield made
    made.close()
    assert problems == []


def opened(page: Page, url: str, section: str, figure: str) -> Page:
    page.goto(url)
    plot = page.locator(f"#{section} .lab-plot[data-figure={figure}]")
    plot.scroll_into_view_if_needed()
    expect(plot.locator(".main-svg").first).to_be_visible(timeout=90_000)
    return page


@pytest.mark.slow
def test_gap_closed_is_drawn_and_back(page: Page, url: str) -> None:
    opened(page, url, "more-data", "figure-4-top")
    section = page.locator("#more-data")
    expect(section.locator(".lab-plot")).to_contain_text("ChatGPT 68.0")
    section.get_by_role("button", name="Gap closed").click()
    expect(section.locator(".lab-plot")).to_contain_text("-218%")
    expect(section.get_by_role("button", name="Gap closed")).to_have_attribute(
        "aria-pressed", "true"
    )
    section.get_by_role("button", name="Score").click()
    expect(section.locator(".lab-plot")).to_contain_text("13.5")


@pytest.mark.slow
def test_downloads(page: Page, url: str, tmp_path: Path) -> None:
    opened(page, url, "more-data", "figure-4-top")
    section = page.locator("#more-data")
    section.get_by_role("button", name="Gap closed").click()
    got = {}
    for name in ("CSV", "SVG of Figure 4, top", "PNG of Figure 4, top"):
        role = "link" if name == "CSV" else "button"
        with page.expect_download() as download:
            section.get_by_role(role, name=name).click()
        target = tmp_path / download.value.suggested_filename
        download.value.save_as(target)
        got[target.suffix] = target
    lines = got[".csv"].read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(select(R, where="Figure 4 top"))
    assert got[".png"].name == "figure-4-top-gap-closed.png"
    size = struct.unpack(">II", got[".png"].read_bytes()[16:24])
    assert size == (3200, 1800)
    svg = got[".svg"].read_text(encoding="utf-8")
    assert 'viewBox="0 0 1600 900"' in svg
    assert "-218%" in svg and "More imitation data" in svg and "2305.15717" in svg


@pytest.mark.slow
def test_figures_follow_the_theme(page: Page, url: str) -> None:
    opened(page, url, "more-data", "figure-4-top")
    plot = page.locator("#more-data .lab-plot")
    line = plot.locator("path.js-line").first
    for dark in (True, False):
        page.evaluate(f"document.body.classList.toggle('dark', {str(dark).lower()})")
        wanted = "rgb(163, 169, 179)" if dark else "rgb(107, 114, 124)"
        expect(line).to_have_css("stroke", wanted, timeout=60_000)


@pytest.mark.slow
def test_phone_shows_one_column_and_nothing_sticks_out(page: Page, url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, url, "more-data", "figure-4-top")
    expect(page.locator("#more-data .lab-plot")).to_contain_text("HumanEval")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cut = page.evaluate(
        """() => [...document.querySelectorAll('#more-data .lab-plot text')].filter((text) => {
          const box = text.getBoundingClientRect();
          return box.width && (box.left < 0 || box.right > window.innerWidth);
        }).map((text) => text.textContent)"""
    )
    assert cut == []
    tops = page.evaluate(
        """() => [...document.querySelectorAll('#more-data .lab-plot .annotation')].slice(0, 3)
          .map((title) => Math.round(title.getBoundingClientRect().top))"""
    )
    assert tops == sorted(tops) and tops[1] - tops[0] > 200


@pytest.mark.slow
def test_every_figure_is_drawn(page: Page, url: str) -> None:
    page.goto(url)
    plots = page.locator(".lab-plot")
    expect(plots).to_have_count(len(gallery()) + 1)  # the paper's, and the example's
    for i in range(plots.count()):
        plots.nth(i).scroll_into_view_if_needed()
        expect(plots.nth(i).locator(".main-svg").first).to_be_visible(timeout=90_000)


@pytest.mark.slow
def test_a_link_to_a_section_arrives_there(page: Page, url: str) -> None:
    page.goto(f"{url}#toxicity")
    expect(page.locator("#toxicity .lab-plot .main-svg").first).to_be_visible(timeout=90_000)
    expect(page.get_by_role("heading", name="Toxicity")).to_be_in_viewport()


def test_no_link_is_a_bare_hash() -> None:
    # Under <base href="./"> such a link of /gaps leads to /#..., which is Compare.
    folder = Path(dashboards.__file__).parent
    for path in [*folder.rglob("*.py"), *folder.rglob("*.js")]:
        assert not re.search(r"""href=\\?["'`]#""", path.read_text("utf-8")), path


@pytest.mark.slow
def test_every_section_chip_leads_to_its_section(page: Page, url: str) -> None:
    page.goto(url)
    chips = page.locator(".lab-chips a")
    expect(chips.first).to_be_visible()
    for index in range(chips.count()):
        chips.nth(index).click()
        assert page.url.partition("#")[0] == url
        place = page.locator(f"[id='{page.url.partition('#')[2]}']")
        expect(place).to_be_in_viewport()
