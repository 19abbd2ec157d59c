# SPDX-License-Identifier: Apache-2.0
"""What is shown while a run goes on."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from loadgen.progress import progress_on


def test_a_log_gets_one_line_each_ten_seconds() -> None:
    log = StringIO()
    progress = progress_on(Console(file=log, force_terminal=False))
    for second in range(1, 26):
        progress.sent()
        progress.tick(second, 60)
    progress.close()
    lines = log.getvalue().splitlines()
    assert lines == [
        "10/60 s  sent 10  ok 0  failed 0  TTFT p50 -",
        "20/60 s  sent 20  ok 0  failed 0  TTFT p50 -",
    ]


def test_a_terminal_gets_one_line_that_is_written_over() -> None:
    screen = StringIO()
    progress = progress_on(Console(file=screen, force_terminal=True, width=80))
    progress.sent()
    progress.tick(1, 60)
    progress.close()
    assert "1/60 s  sent 1" in screen.getvalue()
