# SPDX-License-Identifier: Apache-2.0
"""No server holds a harvest up, and every request leaves its record."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from servers.http import Asked, Flaky, Reply, as_json, serve

from rca_engine.errors import TelemetryError
from rca_engine.telemetry.http import Connection, Deadline, Endpoint, side_by_side


@contextmanager
def connected(answer, deadline_s: float = 20) -> Iterator[Connection]:
    with serve(answer) as url, Connection(Endpoint(url), Deadline(deadline_s), "S") as connection:
        yield connection


def good(_asked: Asked) -> Reply:
    return as_json({"a": 1})


@pytest.mark.parametrize(
    "first",
    [
        [Reply(429, headers={"Retry-After": "0"})],
        [Reply(502), Reply(503), Reply(504)],
        [Reply(200, b'{"a": 1}', cut=3)],
        [Reply(200, b'{"a": 1}', cut=0), Reply(503)],
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_may_pass_is_asked_again(first, method):
    with connected(Flaky(good, list(first))) as connection:
        answer = getattr(connection, method)("/x", {}, note="x")
        assert connection.json(answer) == {"a": 1}
        connection.rows(1)
    [record] = connection.asked
    assert (record["query"], record["rows"], record["status"], record["bytes"]) == ("x", 1, 200, 8)


@pytest.mark.parametrize("reply", [Reply(503, b"restarting"), Reply(200, b"{}", cut=1)])
def test_attempts_are_bounded(reply):
    asked = []

    def answer(each: Asked) -> Reply:
        asked.append(each)
        return reply

    with connected(answer) as connection, pytest.raises(TelemetryError, match=r"S (refused|can't)"):
        connection.json(connection.get("/x", {}, note="x"))
    assert len(asked) == 4


def test_a_refusal_is_no_reason_to_ask_again():
    asked = []

    def answer(each: Asked) -> Reply:
        asked.append(each)
        return Reply(400, b"wrong\nvery wrong")

    with connected(answer) as connection, pytest.raises(TelemetryError, match=r"\(400\): wrong$"):
        connection.json(connection.get("/x", {}, note="x"))
    assert len(asked) == 1


def test_a_server_that_never_answers_is_left_at_the_deadline():
    never = threading.Event()

    def answer(_asked: Asked) -> Reply:
        return Reply(200, b"{}", wait=never)

    with connected(answer, 0.5) as connection:
        with pytest.raises(TelemetryError, match=r"S took too long \(0.5 s were"):
            connection.get("/x", {}, note="x")
        never.set()


def test_a_body_that_drips_is_left_at_the_deadline():
    dripping = Reply(200, b" " * 10_000, drip_s=0.05)
    with connected(lambda _: dripping, 0.5) as connection, pytest.raises(TelemetryError) as error:
        connection.get("/x", {}, note="x")
    assert "took too long" in str(error.value)


def test_a_server_that_asks_for_a_long_pause_gets_none_beyond_the_deadline():
    busy = Reply(429, headers={"Retry-After": "3600"})
    with connected(lambda _: busy, 0.5) as connection, pytest.raises(TelemetryError):
        connection.json(connection.get("/x", {}, note="x"))


def test_the_token_is_not_replaced_by_the_users_netrc(tmp_path, monkeypatch):
    netrc, token = tmp_path / "netrc", tmp_path / "token"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    token.write_text("mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    sent = []

    def answer(asked: Asked) -> Reply:
        sent.append(asked.headers.get("authorization"))
        return as_json({})

    with serve(answer) as url:
        for endpoint in (Endpoint(url, token_file=token), Endpoint(url)):
            with Connection(endpoint, Deadline(20), "S") as connection:
                connection.get("/x", {}, note="x")
    assert sent == ["Bearer mine", None]


def test_after_the_deadline_nothing_is_asked():
    with connected(good, 0) as connection, pytest.raises(TelemetryError, match="took too long"):
        connection.get("/x", {}, note="x")
    assert connection.asked == []


def test_results_come_in_order_and_the_first_error_ends_it():
    assert list(side_by_side(lambda n: n * n, range(20))) == [n * n for n in range(20)]
    begun = []

    def fails(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError("one")
        return number

    with pytest.raises(ValueError, match="one"):
        list(side_by_side(fails, range(10_000), workers=1))
    assert len(begun) < 10_000
