# SPDX-License-Identifier: Apache-2.0
"""Lines of the logs that the lab writes, as they end up in the case."""

from __future__ import annotations

import os
from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest

from rca_engine.errors import TelemetryError
from rca_engine.model import Window
from rca_engine.telemetry.logs import Logs, LogSource, read_logs
from rcalab_common.times import format_utc, parse_utc

WINDOW = Window(parse_utc("2026-11-22T16:43:00Z"), parse_utc("2026-11-22T16:44:00Z"))


def read(path: Path, text: str, **options: object) -> Logs:
    path.write_text(text)
    os.utime(path, ns=(WINDOW.end_ns, WINDOW.end_ns))
    return read_logs([LogSource("replica/llm-0", "ray", path)], WINDOW, zone=UTC, **options)


@pytest.mark.parametrize(
    ("line", "time", "level"),
    [
        ("INFO 2026-11-22 16:43:37,123 llm 12 -- Started", "16:43:37.123", "info"),
        ("2026-11-22 16:43:37,123\tWARNING worker.py:1 -- slow", "16:43:37.123", "warning"),
        ("[2026-11-22 16:43:37,123 E 12 12] raylet.cc:5: gone", "16:43:37.123", "error"),
        ("(EngineCore pid=9) INFO 11-22 16:43:37 [core.py:12] up", "16:43:37.000", "info"),
        ("2026/11/22 16:43:37 [error] 12#12: *3 upstream timed out", "16:43:37.000", "error"),
        ('{"time":"2026-11-22T17:43:37+01:00","msec":1795365817.123,"status":200}',
         "16:43:37.123", None),
        ('{"levelname":"ERROR","asctime":"2026-11-22 16:43:37,123","message":"no"}',
         "16:43:37.123", "error"),
    ],
)  # fmt: skip
def test_each_kind_of_line_keeps_its_own_time_and_level(tmp_path, line, time, level):
    logs = read(tmp_path / "a.log", line + "\n")
    assert [format_utc(t)[11:23] for t in logs.columns["timestamp"]] == [time]
    assert logs.columns["level"] == [level]
    assert logs.columns["message"] == [line]
    assert logs.warnings == ()


def test_a_stack_trace_stays_with_its_line_and_is_counted(tmp_path):
    text = "Banner\n2026-11-22 16:43:10 ERROR boom\n  File x\n2026-11-22 16:43:20 INFO ok\n"
    logs = read(tmp_path / "a.log", text)
    assert [format_utc(t)[17:19] for t in logs.columns["timestamp"]] == ["10", "10", "10", "20"]
    assert logs.warnings == (f"{tmp_path / 'a.log'}: 2 lines have no time of their own",)


def test_a_file_without_any_time_has_that_of_the_file(tmp_path):
    logs = read(tmp_path / "a.log", "hello\n\nworld\n")
    assert logs.columns["timestamp"] == [WINDOW.end_ns] * 2


def test_lines_outside_the_window_are_left_out(tmp_path):
    logs = read(tmp_path / "a.log", "2026-11-22 16:42:59 INFO a\n2026-11-22 16:44:01 INFO b\n")
    assert logs.rows == 0


def test_a_local_time_is_read_in_its_zone(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("2026-11-22 18:43:10 INFO a\n")
    source = LogSource("head/ray", "ray", path)
    logs = read_logs([source], WINDOW, zone=timezone(timedelta(hours=2)))
    assert [format_utc(t)[11:19] for t in logs.columns["timestamp"]] == ["16:43:10"]


def test_a_folder_gives_all_its_log_files_and_bytes_that_are_no_text_stay_lines(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "worker.err").write_bytes(b"2026-11-22 16:43:10 INFO \xff\xfe\n")
    (tmp_path / "image.png").write_bytes(b"\x00")
    logs = read_logs([LogSource("head/ray", "ray", tmp_path)], WINDOW, zone=UTC)
    assert logs.columns["stream"] == ["ray/worker.err"]


def test_a_source_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(TelemetryError, match="no such log file or folder"):
        read_logs([LogSource("head/ray", "ray", tmp_path / "none")], WINDOW)
