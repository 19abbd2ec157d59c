# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, from a file and with no network."""

from __future__ import annotations

import shutil

import pytest

from rca_engine.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (.venv)")

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHARTS = 8


@pytest.fixture
def open_report(run_dir, open_page):
    def open_report(width: int, **options) -> sync_api.Page:
        return open_page(write_report(run_dir), width, **options)

    return open_report


@pytest.mark.parametrize("width", [1280, 390])
def test_charts_are_drawn_nothing_overflows_and_colours_follow_the_theme(open_report, width):
    page = open_report(width, color_scheme="light")
    plots = page.locator(".plot svg.main-svg:first-child")
    assert plots.count() == CHARTS
    for plot in plots.all():
        box = plot.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 150
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    p50 = page.locator("#ttft .scatterlayer .js-line").nth(1)
    sync_api.expect(p50).to_have_css("stroke", "rgb(0, 114, 178)")
    page.emulate_media(color_scheme="dark")
    sync_api.expect(p50).to_have_css("stroke", "rgb(86, 180, 233)")


def test_long_hostile_names_neither_run_nor_widen_a_phone(open_report, edit):
    name = "<img src=x onerror=document.title='run'>" + "x" * 120

    def rename(document):
        for entry in [*document["components"], *document["metrics"]]:
            entry["component"] = name

    edit("diagnosis/baro.json", rename)
    edit("case.json", lambda case: case.update(scenario=name))
    page = open_report(390)
    assert page.title().startswith("<img src=x")
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_zoom_in_one_chart_is_zoom_in_all_and_a_double_click_ends_it(open_report):
    page = open_report(1280)
    box = page.locator("#ttft").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, y, steps=4)
    page.mouse.up()
    wait_for_ranges(page, lambda ranges: ranges[0][0] > 30 and all_equal(ranges))
    page.mouse.dblclick(box["x"] + box["width"] * 0.5, y)
    wait_for_ranges(page, lambda ranges: ranges[0] == [0, 165] and all_equal(ranges))


def wait_for_ranges(page, condition) -> None:
    """Wait for the time axes; Playwright's own polling would evaluate text, which the CSP bars."""
    script = "[...document.querySelectorAll('.plot')].map((plot) => plot.layout.xaxis.range)"
    for _ in range(100):
        ranges = page.evaluate(script)
        if condition(ranges):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"the time axes stayed at {ranges}")


def all_equal(values: list) -> bool:
    return all(value == values[0] for value in values)


def test_values_under_the_pointer_show_in_every_chart(open_report):
    page = open_report(1280)
    box = page.locator("#ttft").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    sync_api.expect(page.locator(".plot .hoverlayer .legend")).to_have_count(CHARTS)
    sync_api.expect(page.locator("#ttft .hoverlayer")).to_contain_text("p95")


def test_a_finger_on_a_chart_scrolls_the_page(open_report):
    page = open_report(390, has_touch=True, is_mobile=True)
    assert page.evaluate("document.getElementById('ttft').layout.dragmode") is False


def test_page_without_charts_runs_clean(run_dir, open_report):
    (run_dir / "requests.parquet").unlink()
    shutil.rmtree(run_dir / "diagnosis")
    assert open_report(390, charts=False).locator("h2").count() == 5
