# SPDX-License-Identifier: Apache-2.0
"""Events: what is one, how windows come of them, and how a source is followed."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator

from loadgen import ProfileError
from loadgen.event_feed import EventFeed
from loadgen.events import Event, Events, Window

NS = 1_000_000_000
T = 1_790_000_000 * NS


def line(second: float, event: str, name: str = "cpu", **more: Any) -> bytes:
    fields = {"time_ns": T + round(second * NS), "event": event, "name": name, **more}
    return json.dumps(fields).encode() + b"\n"


def events(*lines: bytes) -> Events:
    found = Events("e.jsonl")
    found.add_lines(lines)
    return found


GOOD = [
    {"time": "2026-11-25T04:00:00Z", "event": "window_start", "name": "cpu"},
    {"time": "2026-11-25T05:00:00.5+01:00", "event": "window_end", "name": "cpu", "dose": 0.2},
    {"time_ns": T, "event": "window_start", "name": "x" * 200},
]
BAD = [
    {"event": "window_start", "name": "cpu"},
    {"time": "2026-11-25T04:00:00Z", "time_ns": T, "event": "window_start", "name": "cpu"},
    {"time": "2026-11-25 04:00", "event": "window_start", "name": "cpu"},
    {"time_ns": 1_790_000_000, "event": "window_start", "name": "cpu"},
    {"time_ns": True, "event": "window_start", "name": "cpu"},
    {"time_ns": T, "event": "begin", "name": "cpu"},
    {"time_ns": T, "event": "window_start", "name": ""},
    {"time_ns": T, "event": "window_start", "name": "x" * 201},
    {"time_ns": T, "event": "window_start"},
    ["window_start"],
]


@pytest.mark.parametrize("value", GOOD + BAD)
def test_the_schema_and_the_reader_agree_on_what_an_event_is(value: Any) -> None:
    schema = json.loads((files("loadgen") / "schemas" / "events.json").read_text())
    assert Draft202012Validator(schema).is_valid(value) == (value in GOOD)
    if value in GOOD:
        event = Event.parse(json.dumps(value))
        assert Event.parse(event.line()) == event
    else:
        with pytest.raises(ValueError, match=r"time|event|name|object"):
            Event.parse(json.dumps(value))


def test_starts_and_ends_make_windows_in_whatever_order_they_come() -> None:
    found = events(line(9, "window_end"), line(3, "window_start", "net"), line(5, "window_start"))
    assert found.windows() == [
        Window("net", T + 3 * NS, None),
        Window("cpu", T + 5 * NS, T + 9 * NS),
    ]
    assert [found.open_at(T + at * NS) for at in (2, 4, 6, 9)] == [
        (),
        ("net",),
        ("net", "cpu"),
        ("net",),
    ]
    assert found.all_problems() == []


def test_what_is_no_event_is_named_by_its_line_and_the_others_count() -> None:
    found = events(b"{\n", b"\n", line(1, "window_start"), line(2, "pause"), line(3, "window_end"))
    assert len(found.windows()) == 1
    first, second = found.all_problems()
    assert first.startswith("e.jsonl, line 1: no JSON")
    assert second == "e.jsonl, line 4: event must be one of window_start, window_end"


def test_ends_without_a_start_and_starts_within_are_problems() -> None:
    found = events(line(1, "window_end"), line(2, "window_start"), line(3, "window_start"))
    assert found.windows() == [Window("cpu", T + 2 * NS, None)]
    assert found.all_problems() == [
        "window 'cpu' ends without a start",
        "window 'cpu' starts again before its end",
    ]


def test_a_file_that_comes_late_and_grows_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    async def main() -> list[int]:
        feed, counts = EventFeed(str(path)), []
        start, end = line(1, "window_start"), line(2, "window_end")
        for more in (b"", start[:10], start[10:] + end[:5], end[5:-1]):
            with path.open("ab") as file:
                file.write(more)
            await feed.read()
            counts.append(len(feed.seen.events))
        # The last line has no end yet: it counts only once nobody writes any more.
        counts.append(len((await feed.finish()).events))
        assert feed.seen.all_problems() == []
        return counts

    async def absent() -> list[str]:
        return (await EventFeed(str(path)).finish()).all_problems()

    (problem,) = asyncio.run(absent())
    assert "can't read" in problem
    assert asyncio.run(main()) == [0, 0, 1, 1, 2]


def test_a_file_that_shrinks_is_a_problem_and_not_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(1, "window_start"))

    async def main() -> Events:
        feed = EventFeed(str(path))
        await feed.read()
        path.write_bytes(b"{}\n")
        return await feed.finish()

    found = asyncio.run(main())
    assert len(found.events) == 1
    assert "events must be appended" in found.all_problems()[0]


def test_a_server_is_asked_for_all_lines_so_far() -> None:
    body = line(1, "window_start")
    status = 200

    async def answer(request: web.Request) -> web.Response:
        assert "authorization" not in request.headers
        return web.Response(body=body, status=status)

    async def main() -> None:
        nonlocal body, status
        app = web.Application()
        app.add_routes([web.get("/events", answer)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        feed = EventFeed(f"http://{host}:{port}/events")
        await feed.read()
        assert len(feed.seen.events) == 1
        status = 503
        await feed.read()
        status, body = 200, body + line(2, "window_end")
        found = await feed.finish()
        assert found.windows() == [Window("cpu", T + NS, T + 2 * NS)]
        assert found.all_problems() == []
        status = 503
        (problem,) = (await EventFeed(feed.source).finish()).all_problems()
        assert "HTTP status 503" in problem
        await runner.cleanup()

    asyncio.run(main())


@pytest.mark.parametrize("source", ["/no/such/folder/e.jsonl", "/tmp", "http://me:pw@h/e"])  # noqa: S108 - a folder
def test_a_source_that_can_never_be_read_is_refused_before_the_run(source: str) -> None:
    with pytest.raises(ProfileError, match="events"):
        EventFeed(source)
