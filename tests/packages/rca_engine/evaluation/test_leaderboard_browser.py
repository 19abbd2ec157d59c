# SPDX-License-Identifier: Apache-2.0
"""The leaderboard in a real browser, from a file and with no network."""

from __future__ import annotations

import pytest

from rca_engine import Options, evaluate

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_every_plot_is_drawn_and_nothing_overflows(dataset, tmp_path, open_page, width, theme):
    methods = ["nsigma", "constant_guess"]
    late = Options(late_s=(0.0, 30.0))
    out = evaluate(dataset, tmp_path, methods=methods, options=late).write(tmp_path)

    page = open_page(out / "leaderboard.html", width, color_scheme=theme)

    plots = page.locator(".chart").all()
    assert plots
    for plot in plots:
        box = plot.locator("svg.main-svg").first.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 100
    text = page.locator("body").inner_text()
    assert all(name in text for name in methods)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
