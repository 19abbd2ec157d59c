# SPDX-License-Identifier: Apache-2.0
"""The page's frame lets nothing run but what it was given."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from rcalab_common.html import json_block, page


def test_only_the_given_scripts_may_run():
    source = "console.log('é');\r\n"
    digest = base64.b64encode(hashlib.sha256("console.log('é');\n".encode()).digest()).decode()
    html = page("a", "<p>b</p>", scripts=[source])
    assert f"script-src 'sha256-{digest}';" in html
    assert "<script>console.log('é');\n</script>" in html


def test_without_scripts_none_may_run():
    assert "script-src 'none';" in page("a", "")


def test_title_is_escaped_and_braces_stay():
    html = page("<b>{x}</b>", "<p>{y}</p>", style="p { color: red }")
    assert "<title>&lt;b&gt;{x}&lt;/b&gt;</title>" in html
    assert "<p>{y}</p>" in html
    assert "p { color: red }" in html


@pytest.mark.parametrize("source", ["'</script>'", "'</SCRIPT '", "a <!-- b"])
def test_a_script_that_would_not_end_where_it_should_is_refused(source):
    with pytest.raises(ValueError, match="must hold neither"):
        page("a", "", scripts=[source])


def test_data_block_holds_no_markup_and_reads_back():
    value = {"</script><!--": ["&", "\u2028", 1.5, None]}
    block = json_block("d", value)
    text = block.removeprefix('<script type="application/json" id="d">').removesuffix("</script>")
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_data_block_refuses_what_json_has_not():
    with pytest.raises(ValueError, match="JSON"):
        json_block("d", float("nan"))
