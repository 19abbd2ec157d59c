# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of the host platform, in a sandbox of real parts: it acts, and leaves nothing."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

fault_sandbox = pytest.importorskip("fault_sandbox")
fault_kills = pytest.importorskip("fault_kills")
fault_stand_ins = pytest.importorskip("fault_stand_ins")
Sandbox, REPLICA, EXPORTER = fault_sandbox.Sandbox, fault_sandbox.REPLICA, fault_sandbox.EXPORTER

pytestmark = [pytest.mark.root, pytest.mark.slow]
EFFECTIVE, REFUSED, ABORTED = 0, 2, 4
SAMPLE = 40


@pytest.fixture(scope="module", autouse=True)
def machine_for_a_sandbox() -> None:
    """Skip all, and say what is missing, without root or what the kernel needs for a sandbox."""
    if (problem := fault_sandbox.why_not()) is not None:
        pytest.skip(problem)


@pytest.fixture(scope="module")
def sandbox(agent: Path) -> Iterator[fault_sandbox.Sandbox]:
    """One for all tests of this file: each of them leaves it as it was."""
    with Sandbox(agent, 200) as made:
        yield made


# Fault, target, parameters, and what was measured: name, least, most.
FAULTS = [
    ("F01", REPLICA, {"mechanism": "stress", "stress_workers": 1}, "stress_cores", 0.05, 1.1),
    ("F03", REPLICA, {"ballast_mib": 64}, "ballast_mib", 60, 68),
    ("F04", REPLICA, {}, "oom_kills", 1, 1),
    ("F05", REPLICA, {"rate_kib_s": 256}, "rate_kib_s", 100, 384),
    ("F10", REPLICA, {}, "refused_ratio", 1, 1),
    ("F10", REPLICA, {"mechanism": "iptables_drop"}, "refused_ratio", 1, 1),
    ("F11", REPLICA, {}, "killed_ratio", 1, 1),
    ("F11", REPLICA, {"mechanism": "sigkill_pod"}, "killed_ratio", 1, 1),
    ("F14", fault_sandbox.HEAD, {}, "killed_ratio", 1, 1),
    ("F28", REPLICA, {"load_delay_s": 3}, "load_delay_s", 3, 4.5),
    ("F30", REPLICA, {}, "replicas_lost", 1, 1),
    ("F31", EXPORTER, {}, "silent_ratio", 1, 1),
    ("F31", EXPORTER, {"mechanism": "iptables_reject"}, "silent_ratio", 1, 1),
    ("F32", REPLICA, {"port": 8000, "offset_s": 120}, "offset_s", 118, 121),
]


@pytest.mark.parametrize(
    ("fault", "target", "parameters", "dose", "least", "most"),
    FAULTS,
    ids=[f"{each[0]}-{each[2].get('mechanism', 'default')}" for each in FAULTS],
)
def test_a_fault_acts_as_it_says_and_leaves_nothing_behind(
    sandbox: fault_sandbox.Sandbox,
    fault: str,
    target: str,
    parameters: dict[str, object],
    dose: str,
    least: float,
    most: float,
) -> None:
    if fault == "F32" and not fault_sandbox.FAKETIME.exists():
        pytest.skip("needs Debian's libfaketime")
    before = sandbox.snapshot()

    run = sandbox.run(fault, target, spec={"confirm": target}, duration_s=15, **parameters)
    err = run.communicate(timeout=90)[1]

    assert run.returncode == EFFECTIVE, err
    truth = sandbox.truth()
    assert truth["outcome"] == "effective"
    assert least <= truth["dose"]["measured"][dose] <= most
    assert truth["times"]["effect_first_seen"] < truth["times"]["revert_verified"]
    fault_sandbox.wait_for(lambda: sandbox.snapshot() == before, "the state before", 5)


def test_what_the_kernel_killed_is_on_record(sandbox: fault_sandbox.Sandbox) -> None:
    engine = sandbox.engine()

    sandbox.run("F04", duration_s=20).communicate(timeout=90)

    messages = sandbox.truth()["messages"]
    assert any(
        message.startswith("the kernel killed ") and f"({engine})" in message
        for message in messages
    ), messages
    assert sandbox.engine() not in (None, engine)


def test_a_restart_ends_its_window_when_all_is_back(sandbox: fault_sandbox.Sandbox) -> None:
    run = sandbox.run("F11", duration_s=60)
    run.communicate(timeout=50)  # long before its 60 s

    assert run.returncode == EFFECTIVE
    assert sandbox.is_whole()


def test_loadgen_is_told_when_the_window_begins_and_ends(sandbox: fault_sandbox.Sandbox) -> None:
    sandbox.events_path.unlink(missing_ok=True)

    sandbox.run("F10", duration_s=2).communicate(timeout=30)

    lines = [json.loads(line) for line in sandbox.events_path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["window_start", "window_end"]
    assert {line["name"] for line in lines} == {f"F10 dns_failure on {REPLICA}"}
    times = sandbox.truth()["times"]
    assert times["requested"] < lines[0]["time"] < lines[1]["time"]


def test_a_killed_agents_window_has_an_end_for_loadgen_too(sandbox: fault_sandbox.Sandbox) -> None:
    sandbox.events_path.unlink(missing_ok=True)
    known = len(sandbox.states())
    run = sandbox.run("F10", duration_s=60)
    fault_sandbox.wait_for(lambda: "ACTIVE" in sandbox.states()[known:], "ACTIVE", 30)

    run.kill()
    run.communicate()
    fault_sandbox.wait_for(lambda: not sandbox.left_to_undo(), "the undo", 15)

    assert '"window_end"' in sandbox.events_path.read_text()


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.touch()
    return path


def test_the_guard_ends_a_window_that_the_client_suffers_from(
    sandbox: fault_sandbox.Sandbox, records: Path
) -> None:
    known = len(sandbox.states())
    guard = {"requests": str(records), "max_error_ratio": 0.3, "every_s": 0.2, "window_s": 60}
    run = sandbox.run("F10", spec={"guard": guard}, duration_s=60)
    fault_sandbox.wait_for(lambda: "ACTIVE" in sandbox.states()[known:], "ACTIVE", 30)

    now = time.time_ns()
    outcomes = ["success"] * 6 + ["http_5xx"] * 4
    lines = [json.dumps({"end_ns": now, "outcome": outcome}) for outcome in outcomes]
    with records.open("a") as handle:
        handle.write("\n".join(lines) + "\n")
    run.communicate(timeout=30)

    assert run.returncode == ABORTED
    truth = sandbox.truth()
    assert (truth["outcome"], truth["reverted_by"]) == ("aborted", "abort")
    assert "4 of the 10 requests of the last 60 s failed" in truth["messages"][0]


def test_the_guards_command_ends_a_window(sandbox: fault_sandbox.Sandbox, tmp_path: Path) -> None:
    known, fine = len(sandbox.states()), tmp_path / "fine"
    fine.touch()
    guard = {"command": ["test", "-e", str(fine)], "every_s": 0.5}
    run = sandbox.run("F10", spec={"guard": guard}, duration_s=60)
    fault_sandbox.wait_for(lambda: "ACTIVE" in sandbox.states()[known:], "ACTIVE", 30)

    fine.unlink()
    run.communicate(timeout=30)

    assert run.returncode == ABORTED
    assert "test ended with 1" in sandbox.truth()["messages"][0]


class _Fake(http.server.BaseHTTPRequestHandler):
    """Prometheus, a second ahead of this host, and Grafana, which writes down what it is told."""

    told: ClassVar[list[tuple[str, str, dict[str, object], str | None]]] = []

    def do_GET(self) -> None:
        ahead = time.time() + 1
        self._answer(
            {"status": "success", "data": {"resultType": "scalar", "result": [0, str(ahead)]}}
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.told.append((self.command, self.path, body, self.headers["Authorization"]))
        self._answer({"id": 7})

    def do_PATCH(self) -> None:
        self.do_POST()

    def _answer(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Be silent."""


def test_clocks_are_compared_and_grafana_shows_the_window(agent: Path, tmp_path: Path) -> None:
    _Fake.told.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Fake)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    token = tmp_path / "token"
    token.write_text("secret\n")
    facts = {"prometheus": url, "grafana": {"url": url, "token_file": str(token)}}

    with Sandbox(agent, 201, facts) as lab:
        lab.run("F10", duration_s=2).communicate(timeout=30)
        truth = lab.truth()
        kept = [path.read_text() for path in lab.state.rglob("*.json*")]
    server.shutdown()

    offsets = truth["clock_offsets_ms"]
    assert offsets["prometheus"] == pytest.approx(1000, abs=offsets["prometheus_uncertainty"] + 20)
    (begin, end) = _Fake.told
    assert begin[:2] == ("POST", "/api/annotations")
    assert end[:2] == ("PATCH", "/api/annotations/7")
    assert {"F10", REPLICA} <= set(begin[2]["tags"])  # type: ignore[call-overload]
    assert begin[2]["time"] < end[2]["timeEnd"]  # type: ignore[operator]
    assert begin[3] == "Bearer secret"
    assert not any("secret" in text for text in kept)


def test_a_deaf_grafana_stops_no_fault(agent: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    # A port that nobody listens on.
    facts = {"grafana": {"url": "http://127.0.0.1:9", "token_file": str(token)}}

    with Sandbox(agent, 202, facts) as lab:
        run = lab.run("F10", duration_s=2)
        run.communicate(timeout=30)
        messages = lab.truth()["messages"]

    assert run.returncode == EFFECTIVE
    assert any("Grafana was not told" in message for message in messages)


# Fault, target, what is asked for beyond them, and what the agent says.
BAD = [
    ("F03", REPLICA, {"ballast_mib": 1e9}, {}, "ballast_mib must be from 16 to 65536"),
    ("F03", REPLICA, {"ballast_mib": 65536}, {}, "are not free on this machine"),
    ("F03", REPLICA, {"mechanism": "memory_high"}, {}, "version 1 has no memory.high"),
    ("F05", REPLICA, {"rate_kib_s": 1048576}, {}, "without the fault: ask for less"),
    ("F11", "head/ray", {}, {}, "only to a component of kind replica or gateway"),
    ("F14", "head/ray", {}, {}, "name its target once more as confirm, head/ray"),
    ("F14", "head/ray", {}, {"confirm": REPLICA}, "name its target once more as confirm"),
    ("F02", REPLICA, {}, {}, "only to a component of kind node"),
    ("F31", REPLICA, {}, {}, "only to a component of kind telemetry"),
    ("F31", "telemetry/other", {}, {}, "is no pod of this lab"),
    ("F32", REPLICA, {"offset_s": 1}, {}, "offset_s must be 4 s or more either way"),
    ("F32", "head/ray", {}, {}, "nothing in pod head runs under libfaketime"),
    ("F30", REPLICA, {}, {"guard": {}}, "guard watches nothing"),
    ("F30", REPLICA, {}, {"guard": {"command": "rm"}}, "must be a list of a program"),
    ("F30", REPLICA, {}, {"guard": {"requests": "/nowhere"}}, "there is no file /nowhere"),
    ("F30", REPLICA, {}, {"guard": {"command": ["false"]}}, "would end this fault at once"),
    (
        "F30",
        REPLICA,
        {},
        {"guard": {"command": ["true"], "max_error_ratio": 2}},
        "max_error_ratio must be from 0 to 1",
    ),
]


@pytest.mark.parametrize(("fault", "target", "parameters", "more", "message"), BAD)
def test_bad_input_is_refused_before_anything_is_touched(
    sandbox: fault_sandbox.Sandbox,
    fault: str,
    target: str,
    parameters: dict[str, object],
    more: dict[str, object],
    message: str,
) -> None:
    before, windows = sandbox.snapshot(), sorted(sandbox.state.glob("windows/*"))

    run = sandbox.run(fault, target, spec=more, **parameters)
    err = run.communicate(timeout=30)[1]

    assert run.returncode == REFUSED, err
    assert message in err
    assert sandbox.snapshot() == before
    assert sorted(sandbox.state.glob("windows/*")) == windows


@pytest.mark.parametrize("pattern", ["F30", "replica/*"])
def test_what_is_on_the_deny_list_is_refused(sandbox: fault_sandbox.Sandbox, pattern: str) -> None:
    path = sandbox.folder / "lab.json"
    facts = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(facts) | {"deny": [pattern]}))
        run = sandbox.run("F30")
        err = run.communicate(timeout=30)[1]
    finally:
        path.write_text(facts)

    assert run.returncode == REFUSED
    assert f"F30 on {REPLICA} is on this lab's deny list ({pattern}; chaos_agent_deny" in err


def test_a_restart_is_refused_while_a_replica_is_missing(sandbox: fault_sandbox.Sandbox) -> None:
    path = sandbox.folder / "lab.json"
    facts = path.read_text()
    elsewhere = {"kind": "http", "url": "http://127.0.0.1:9/health"}
    try:
        path.write_text(json.dumps(json.loads(facts) | {"service": elsewhere}))
        run = sandbox.run("F11")
        err = run.communicate(timeout=30)[1]
    finally:
        path.write_text(facts)

    assert run.returncode == REFUSED
    assert f"no replica is ready at {sandbox.address}" in err


def test_a_second_fault_waits_for_the_first(sandbox: fault_sandbox.Sandbox) -> None:
    known = len(sandbox.states())
    first = sandbox.run("F10", duration_s=60)
    fault_sandbox.wait_for(lambda: "ACTIVE" in sandbox.states()[known:], "ACTIVE", 30)
    second = sandbox.run("F03", duration_s=5)
    err = second.communicate(timeout=30)[1]
    first.terminate()
    first.communicate(timeout=30)

    assert second.returncode == REFUSED
    assert "another fault is active" in err
    assert first.returncode == ABORTED


@pytest.mark.parametrize(("armed", "code"), [(False, EFFECTIVE), (True, REFUSED)])
def test_an_undo_under_which_nothing_was_done_stands_in_nobodys_way(
    sandbox: fault_sandbox.Sandbox, armed: bool, code: int
) -> None:
    sandbox.run("F10", duration_s=2).communicate(timeout=30)
    done, *_older = sorted(sandbox.state.glob("windows/*-F10/undone.json"), reverse=True)
    left = done.parent.with_name("2026-01-01T000000.000000000Z-F10")
    left.mkdir()
    (left / "undo.json").write_bytes(done.read_bytes())
    (left / "truth.json").write_bytes(done.with_name("truth.json").read_bytes())
    if armed:  # as a watchdog leaves it that was killed with its runner
        (left / "watchdog.json").write_text('{"pid": 4194303, "start": 0}')

    run = sandbox.run("F10", duration_s=2)
    err = run.communicate(timeout=30)[1]

    assert run.returncode == code, err
    assert sandbox.revert().returncode == 0


def test_a_sample_of_kills_is_put_back_in_time(agent: Path) -> None:
    plan = fault_kills.plan(SAMPLE, 1, fault_kills.injections(costly=False, alone=True))

    with fault_stand_ins.EquippedSandbox(agent, 201) as sandbox:
        outcomes = [fault_kills.carry_out(sandbox, kill) for kill in plan]

    assert [f"{each.kill}: {each.problem}" for each in outcomes if each.problem] == []
    assert all(each.seconds <= each.limit_s for each in outcomes)
