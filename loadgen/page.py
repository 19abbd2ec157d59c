# SPDX-License-Identifier: Apache-2.0
"""A page out of a template and charts; what it needs (Jinja2, Plotly) is an extra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadgen.errors import saving
from loadgen.outputs.extras import need
from rcalab_common import charts
from rcalab_common.files import write_text
from rcalab_common.html import json_block, page
from rcalab_common.words import number, quantity


def check(what: str) -> None:
    """Raise if a package is missing that pages need."""
    need("jinja2", "plotly", extra="html", what=what)


def write_page(
    path: Path, title: str, template: str, drawn: Sequence[charts.Chart], **values: Any
) -> Path:
    """Write a page that needs no other file, whole or not at all.

    Parameters
    ----------
    path
        The file.
    title, template, values
        Of the page: plain text, the name of its template, what the template shows.
    drawn
        Its charts; the template has them as ``charts``, and the title as ``title``.

    Raises
    ------
    OutputError
        If a package is missing, or the file can't be written.
    """
    check(path.name)
    # Extras: without them, only pages are missing.
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("loadgen"), jinja2.PackageLoader("rcalab_common")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "quantity": quantity}
    body = environment.get_template(template).render(title=title, charts=drawn, **values)
    figures = json_block("figures", {chart.id: chart.figure for chart in drawn})
    text = page(
        title,
        f"{body}\n{figures}",
        style=charts.style(),
        scripts=[get_plotlyjs(), charts.script()] if drawn else [],
    )
    with saving(path):
        write_text(path, text)
    return path
