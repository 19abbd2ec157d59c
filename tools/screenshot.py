#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Photograph a report with a headless Chromium; makes docs/images/report.png.

For example: ``tools/screenshot.py results/demo/.../report.html docs/images/report.png``.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",  # Chromium refuses to sandbox itself for root, which a container's user is
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def photograph(
    report: Path, image: Path, *, chromium: str, width: int, height: int | None, dark: bool
) -> None:
    """Write a PNG of ``report``, of the whole page where ``height`` (pixels) is None."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_ARGUMENTS)
        )
        page = browser.new_page(
            viewport={"width": width, "height": height or 900},
            color_scheme="dark" if dark else "light",
            offline=True,
        )
        page.goto(report.resolve().as_uri())
        page.wait_for_selector("html[data-charts=drawn]", state="attached")
        image.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=image, full_page=height is None)
        browser.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="a report.html")
    parser.add_argument("image", type=Path, help="the PNG to write")
    parser.add_argument("--width", type=int, default=1280, help="pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, help="pixels (default: the whole page)")
    parser.add_argument("--dark", action="store_true", help="as a reader with a dark theme sees it")
    options = parser.parse_args(arguments)
    if not options.report.is_file():
        parser.error(f"{options.report}: no such file; write one with `rca-engine report CASE`")
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.error("needs Chromium: apt-get install chromium")
    photograph(
        options.report,
        options.image,
        chromium=chromium,
        width=options.width,
        height=options.height,
        dark=options.dark,
    )


if __name__ == "__main__":
    main()
