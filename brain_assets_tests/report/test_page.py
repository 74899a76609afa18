"""The page of a report: what its charts show, its text, and what a real browser without a network makes of it.

Plotly's own classes have refused an unknown key or value of a chart.
"""

import html
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.report.page import AREAS, MAX_SYMBOLS, MAX_WEIGHTS, report_figures, report_page
from brain_assets.report.report import MAX_LINES, STRATEGIES, Doubt, Report, build_report, colors_of
from brain_assets.report.tables import conclude
from brain_assets_tests.report.toy_results import NOTE, backtest_table, forecast_table, toy_report, unpacked

CHROMIUM = Path("/usr/bin/chromium")


def report_on(net: Any, forecasts: pd.DataFrame | None = None) -> Report:
    return build_report(backtest_table(net), pd.DataFrame() if forecasts is None else forecasts, [], NOTE)


MANY = report_on({"equal_weight": np.zeros(30), **{f"rule {number:02d}": np.zeros(30) for number in range(20)}})


def values(figure: Any) -> dict[str, np.ndarray]:
    return {trace.name: np.array(trace.y, dtype=float) for trace in figure.data if trace.showlegend is not False}


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return report_figures(toy_report())


def test_what_the_report_does_not_know_has_no_figure() -> None:
    bare = {"equal_weight": np.zeros(30)}
    assert list(report_figures(report_on(bare))) == ["equity", "drawdowns", "turnover", "costs"]
    of_two_symbols = report_figures(report_on(bare, forecast_table(30, n_symbols=2)))
    assert list(of_two_symbols)[4:] == ["rank_correlation"]


def test_equity_is_what_a_dollar_became_and_lies_within_the_band_of_seeds(figures: dict[str, Any]) -> None:
    drawn = values(figures["equity"])
    np.testing.assert_allclose(drawn["PPO"], np.cumprod(1 + toy_report().returns["ppo"]), atol=5e-5)
    low, high = (np.array(trace.y) for trace in figures["equity"].data if trace.showlegend is False)  # SAC has one seed
    assert ((low <= drawn["PPO"]) & (drawn["PPO"] <= high)).all()
    assert high[-1] > low[-1] * 1.1  # three thousandths a week apart
    assert list(drawn)[-2:] == ["PPO", "SAC"]  # on top
    below = values(figures["drawdowns"])["PPO"]
    assert below[drawn["PPO"].argmax()] == 0.0
    assert below.min() == pytest.approx(-toy_report().strategies["max_drawdown"]["ppo"], abs=1e-4)


@pytest.mark.parametrize(("gain", "ticks"), [(0.0, "L0.0002"), (0.008, "L0.1"), (0.02, "L0.5"), (0.08, "D2")])
def test_a_log_scale_has_at_least_four_labels(gain: float, ticks: str) -> None:
    """After 60 weeks a dollar is 1.0, 1.6, 3.3 or 101."""
    axis = report_figures(report_on({"equal_weight": np.full(60, gain)}))["equity"].layout.yaxis
    assert (axis.type, axis.dtick) == ("log", ticks)


def test_weights_add_up_end_with_cash_and_small_ones_of_many_symbols_are_one_area(figures: dict[str, Any]) -> None:
    assert list(values(figures["weights_ppo"])) == ["BBB", "AAA", "cash"]
    names = [*(f"S{place:02d}" for place in range(30)), "cash"]
    held = pd.DataFrame([[*np.arange(30, 0, -1) / 500, 0.07]] * 60, toy_report().returns.index, names)
    figure = report_figures(replace(toy_report(), weights={**toy_report().weights, "ppo": held}))["weights_ppo"]
    drawn = values(figure)
    assert list(drawn)[MAX_SYMBOLS:] == ["20 others", "cash"]
    np.testing.assert_allclose(drawn["20 others"], np.arange(20, 0, -1).sum() / 500, atol=5e-4)
    np.testing.assert_allclose(sum(drawn.values()), 1.0, atol=0.01)
    assert [trace.fillcolor for trace in figure.data] == list(AREAS)


def test_forecasts_stand_beside_each_other_at_their_year_and_deciles_are_of_the_table(
    figures: dict[str, Any],
) -> None:
    figure, found = figures["rank_correlation"], toy_report().forecasts.by_year["lstm"]
    assert [trace.name for trace in figure.data] == ["LSTM", "PatchTST", "4-week momentum"]
    lstm, patchtst, momentum = figure.data
    assert [round(point) for point in lstm.x] == [2020, 2021]
    assert lstm.x[0] < patchtst.x[0] < momentum.x[0]
    assert lstm.y[0] == pytest.approx(found["value"][2020], abs=1e-4)
    assert lstm.error_y.arrayminus[0] == pytest.approx(found["value"][2020] - found["low"][2020], abs=1e-4)
    assert np.isnan(lstm.error_y.array[1])  # seven weeks of 2021
    calibration, table = values(figures["calibration_lstm"]), toy_report().forecasts.deciles["lstm"]
    np.testing.assert_allclose(calibration["realized"], table["value"], atol=1e-6)
    np.testing.assert_allclose(calibration["forecast"], table["forecast"], atol=1e-6)


def test_more_than_can_be_read_waits_for_a_click() -> None:
    drawn = report_figures(MANY)
    shown = [trace.name for trace in drawn["equity"].data if trace.visible is True]
    assert shown == [*(f"rule {number:02d}" for number in range(MAX_LINES - 1)), "equal weight"]
    assert sum(name.startswith("weights_") for name in drawn) == MAX_WEIGHTS
    assert drawn["costs"].layout.height >= 21 * 20  # room for their names
    forecasts = toy_report().forecasts
    twice = forecasts._replace(skill=pd.concat([forecasts.skill] * 2))
    drawn = report_figures(replace(toy_report(), forecasts=twice))
    assert [trace.visible for trace in drawn["rank_correlation"].data] == [True] * MAX_LINES + ["legendonly"]


def test_families_that_are_not_ours_have_colours_of_their_own() -> None:
    """And those of ours stay as they are; a name has the same colour, whatever others there are."""
    names = [*STRATEGIES, "pls_top", "zebra", "momentum_rank", "pls", *(f"family_{number}" for number in range(60))]
    found = colors_of(names, STRATEGIES)
    assert found[: len(STRATEGIES)] == list(STRATEGIES.values())
    assert len(set(found)) == len(found)
    assert colors_of(["zebra"], STRATEGIES) == [found[names.index("zebra")]]
    forecasts = forecast_table(60).rename(columns=lambda name: name.replace("patchtst", "pls"))
    report = report_on({"equal_weight": np.zeros(60)}, forecasts)
    drawn, color = report_figures(report), report.forecasts.skill["color"]["pls"]
    assert drawn["rank_correlation"].data[1].marker.color == drawn["calibration_pls"].data[0].marker.color == color


# Its text


@pytest.fixture(scope="module")
def page() -> str:
    return report_page(toy_report())


def test_it_needs_nothing_from_elsewhere_is_small_and_carries_plotly_and_every_figure(
    page: str, figures: dict[str, Any]
) -> None:
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "@import" not in page
    assert len(page.encode()) < 3 * 2**20
    assert report_page(toy_report()) == page
    assert unpacked(page, "plotly").lstrip().startswith("/**\n* plotly.js v")
    carried = unpacked(page, "figures")
    assert list(json.loads(carried)) == list(figures) == re.findall('data-chart="([^"]+)"', html.unescape(page))
    assert len(figures) == 13
    assert "NaN" not in carried


def test_it_begins_with_the_conclusion_and_names_are_text_not_markup(page: str) -> None:
    can, cannot = (text.replace("'", "&#39;") for text in conclude(toy_report()))
    assert page.index(can) < page.index(cannot) < page.index("<table>")
    policies = re.findall(r'<tr class="policy"><th scope="row">([^<]+)<', page)
    assert policies == ["PPO", "SAC"] * 4  # strategies, risk, policies, years
    assert "<b>my rule</b>" not in page
    assert "&lt;b&gt;my rule&lt;/b&gt;" in page
    assert '<td style="background: rgba(var(--down), 0.17)">−15.1 %</td>' in page
    heads = re.findall('<h2 id="([^"]+)">', page)
    assert re.findall('<a href="#([^"]+)">', page) == heads
    assert {"to-risk", "to-worst-drawdowns", "to-returns-by-month"} < set(heads)


def test_years_have_their_weeks_and_months_those_that_end_in_them_and_doubts_are_named(page: str) -> None:
    yearly, monthly = (page.split(f'id="{name}"')[1].split("</table>")[0] for name in ("yearly", "monthly_ppo"))
    assert '2020<small>53 weeks</small></th><th scope="col">2021<small>7 weeks</small></th>' in yearly
    of_ppo = re.findall("([^<>]+)</td>", yearly.split(">PPO</th>")[1])
    assert of_ppo[1] == f"{100 * (np.prod(1 + toy_report().returns['ppo'][53:]) - 1):.1f} %".replace("-", "−")
    assert re.findall("([^<>]+)</td>", monthly.split(">2021</th>")[1])[11] == "–"
    assert f"<dd>{toy_report().market.caveat}</dd>" in page
    assert "left out" not in page
    assert "Data</h2>" not in page  # nobody asked
    sound = report_page(replace(toy_report(), weeks_left_out=208, doubts=[]))
    assert "208 weeks that only some strategies traded" in sound
    assert "No check of the stored tables warns of anything." in sound
    doubted = report_page(replace(toy_report(), doubts=[Doubt(2020, "raw_fundamentals", "rows_taken", "<b>2</b>")]))
    assert "<dt>2020 raw_fundamentals, rows_taken</dt><dd>&lt;b&gt;2&lt;/b&gt;</dd>" in doubted


# In a browser

Show = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Show]:
    """Open a page offline; what the browser says or asks for is in ``said``."""
    contexts = []

    def opened(page: str, said: list[str], **options: Any) -> Any:
        (tmp_path / "report.html").write_text(page, encoding="utf-8")
        contexts.append(browser.new_context(offline=True, **options))
        view = contexts[-1].new_page()
        view.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
        view.on("pageerror", lambda error: said.append(str(error)))
        local = ("file:", "data:", "blob:")
        view.on("request", lambda asked: None if asked.url.startswith(local) else said.append(asked.url))
        view.goto((tmp_path / "report.html").as_uri())
        view.wait_for_selector("body[data-drawn=true]", timeout=60_000)
        return view

    yield opened
    for context in contexts:
        context.close()


LINES = "document.querySelectorAll('#equity .scatterlayer .js-line').length"


@pytest.mark.parametrize(("width", "height"), [(390, 844), pytest.param(1400, 900, marks=pytest.mark.slow)])
def test_it_opens_offline_on_a_phone_and_on_a_desk(show: Show, page: str, width: int, height: int) -> None:
    said: list[str] = []
    phone = width < 500
    view = show(page, said, viewport={"width": width, "height": height}, has_touch=phone, is_mobile=phone)
    for part in ("can", "cannot"):  # on the first screen
        box = view.locator(f"#{part}").bounding_box()
        assert box["y"] + box["height"] <= height
    view.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    view.wait_for_function("document.querySelectorAll('.plot:has(svg.main-svg)').length === 13")
    wide = view.locator(".scroll.wide").evaluate_all("each => each.map(one => one.id)")  # says that it scrolls
    assert {"strategies", "risk", "monthly_ppo"} <= set(wide) if phone else "yearly" not in wide
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    cut = "[...document.querySelectorAll('.plot svg.main-svg')].filter(svg => svg.clientWidth > innerWidth).length"
    assert view.evaluate(cut) == 0
    assert said == []
    legend = view.locator("#equity .legend button")
    assert legend.all_text_contents() == ["equal weight", "PPO", "SAC", "<b>my rule</b>"]
    before = view.evaluate(LINES)
    legend.nth(1).click()
    view.wait_for_function(f"{LINES} < {before}")


@pytest.mark.slow
def test_it_prints_all_of_its_tables_and_charts(show: Show, page: str, tmp_path: Path) -> None:
    view = show(page, [])
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


@pytest.mark.slow
def test_lines_that_wait_for_a_click_come_with_it(show: Show) -> None:
    view = show(report_page(MANY), [])
    waiting = view.locator('#equity .legend [aria-pressed="false"]')
    assert (view.evaluate(LINES), waiting.count()) == (MAX_LINES, 21 - MAX_LINES)
    waiting.first.click()
    view.wait_for_function(f"{LINES} === {MAX_LINES + 1}")
    assert view.evaluate("document.querySelectorAll('#costs .yaxislayer-above text, #costs .ytick').length") >= 21
