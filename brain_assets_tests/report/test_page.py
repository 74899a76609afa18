"""The page of a report, as text and in a real browser without a network."""

import html
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.report.conclusion import conclude
from brain_assets.report.data import Doubt
from brain_assets.report.figures import report_figures
from brain_assets.report.page import report_page
from brain_assets.report.report import MAX_LINES, build_report
from brain_assets_tests.report.toy_results import backtest_table, toy_report, unpacked

CHROMIUM = Path("/usr/bin/chromium")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def page() -> str:
    return report_page(toy_report())


def test_it_begins_with_the_conclusion(page: str) -> None:
    can, cannot = (text.replace("'", "&#39;") for text in conclude(toy_report()))
    assert page.index(can) < page.index(cannot) < page.index("<table>")


def test_it_needs_nothing_from_elsewhere_is_small_and_the_same_for_equal_figures(page: str) -> None:
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "@import" not in page
    assert len(page.encode()) < 3 * MIB
    assert report_page(toy_report()) == page


def test_it_carries_plotly_and_every_figure(page: str) -> None:
    assert unpacked(page, "plotly").lstrip().startswith("/**\n* plotly.js v")
    figures = json.loads(unpacked(page, "figures"))
    assert (
        list(figures) == list(report_figures(toy_report())) == re.findall('data-chart="([^"]+)"', html.unescape(page))
    )
    assert "NaN" not in unpacked(page, "figures")


def test_policies_stand_in_bold_and_names_are_text_not_markup(page: str) -> None:
    assert (
        re.findall(r'<tr class="policy"><th scope="row">([^<]+)<', page) == ["PPO", "SAC"] * 4
    )  # strategies, risk, policies, years
    assert "<b>my rule</b>" not in page
    assert '<td style="background: rgba(var(--down), 0.17)">−15.1 %</td>' in page
    assert "&lt;b&gt;my rule&lt;/b&gt;" in page


def test_weeks_that_are_left_out_and_the_market_are_named(page: str) -> None:
    assert f"<dd>{toy_report().market.caveat}</dd>" in page
    assert "left out" not in page
    assert "208 weeks that only some strategies traded" in report_page(replace(toy_report(), weeks_left_out=208))


def test_doubts_of_the_data_are_named_by_year_and_table_and_none_is_said_too(page: str) -> None:
    assert "Data</h2>" not in page  # nobody asked
    assert "No check of the stored tables warns of anything." in report_page(replace(toy_report(), doubts=[]))
    doubts = [Doubt(2019, "raw_prices", "no_jumps", "A 4:1"), Doubt(2020, "raw_fundamentals", "rows_taken", "<b>2</b>")]
    doubted = report_page(replace(toy_report(), doubts=doubts))
    assert "<dt>2019 raw_prices, no_jumps</dt><dd>A 4:1</dd>" in doubted
    assert "<dt>2020 raw_fundamentals, rows_taken</dt><dd>&lt;b&gt;2&lt;/b&gt;</dd>" in doubted
    assert doubted.index('id="data"') < doubted.index('id="to-how-to-read-this"')


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1400, 900)])
def test_it_opens_offline_on_a_phone_and_on_a_desk(browser: Any, page: str, width: int, height: int, tmp_path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    phone = width < 500
    context = browser.new_context(
        viewport={"width": width, "height": height}, offline=True, has_touch=phone, is_mobile=phone
    )
    view = context.new_page()
    said: list[str] = []
    requests: list[str] = []
    view.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda request: requests.append(request.url))
    view.goto(file.as_uri())
    view.wait_for_selector("body[data-drawn=true]", timeout=60_000)
    for part in ("can", "cannot"):  # on the first screen
        box = view.locator(f"#{part}").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= height
    view.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    charts = view.locator(".plot")
    view.wait_for_function("document.querySelectorAll('.plot:has(svg.main-svg)').length === 19")
    assert charts.count() == 19
    wide = view.locator(".scroll.wide").evaluate_all("each => each.map(one => one.id)")  # says that it scrolls
    assert {"strategies", "risk", "monthly_ppo"} <= set(wide) if phone else "yearly" not in wide
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    cut = "[...document.querySelectorAll('.plot svg.main-svg')].filter(svg => svg.clientWidth > innerWidth).length"
    assert view.evaluate(cut) == 0
    assert said == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    legend = view.locator("#equity .legend button")
    assert legend.all_text_contents() == ["equal weight", "PPO", "SAC", "<b>my rule</b>"]
    lines = "document.querySelectorAll('#equity .scatterlayer .js-line').length"
    before = view.evaluate(lines)
    legend.nth(1).click()
    view.wait_for_function(f"{lines} < {before}")
    context.close()


def test_it_prints_all_of_its_tables_and_charts(browser: Any, page: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    view = browser.new_page()
    view.goto((tmp_path / "report.html").as_uri())
    view.wait_for_selector("body[data-drawn=true]", timeout=60_000)
    page_of_docs = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    [printing] = re.findall("`(chromium --headless [^`]+)`", page_of_docs)
    arguments = [str(CHROMIUM), "--no-sandbox", "--disable-gpu", *shlex.split(printing)[1:]]
    subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    view.emulate_media(media="print")
    view.set_viewport_size({"width": 1032, "height": 700})  # A4 across, less its margins
    cut = "[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > innerWidth).map(each => each.id)"
    assert view.evaluate(cut) == []
    printed = (tmp_path / "report.pdf").read_bytes()
    assert 5 < printed.count(b"/Type /Page\n") < 40
    assert set(re.findall(rb"/MediaBox \[([^]]+)\]", printed)) == {b"0 0 841.91998 594.95996"}  # A4 across
    view.close()


def test_its_contents_lead_to_every_heading(page: str) -> None:
    heads = re.findall('<h2 id="([^"]+)">', page)
    assert re.findall('<a href="#([^"]+)">', page) == heads
    assert {"to-risk", "to-worst-drawdowns", "to-returns-by-month"} < set(heads)


def test_lines_that_wait_for_a_click_come_with_it(browser: Any, tmp_path: Path) -> None:
    net = {"equal_weight": np.full(30, 0.001), **{f"rule {number:02d}": np.full(30, 0.002) for number in range(12)}}
    report = build_report(backtest_table(net), pd.DataFrame(), {}, [], toy_report().market)
    (tmp_path / "report.html").write_text(report_page(report), encoding="utf-8")
    view = browser.new_page()
    view.goto((tmp_path / "report.html").as_uri())
    view.wait_for_selector("body[data-drawn=true]", timeout=60_000)
    lines = "document.querySelectorAll('#equity .scatterlayer .js-line').length"
    waiting = view.locator('#equity .legend [aria-pressed="false"]')
    assert (view.evaluate(lines), waiting.count()) == (MAX_LINES, 13 - MAX_LINES)
    waiting.first.click()
    view.wait_for_function(f"{lines} === {MAX_LINES + 1}")
    assert view.evaluate("document.querySelectorAll('#costs .yaxislayer-above text, #costs .ytick').length") >= 13
    view.close()
