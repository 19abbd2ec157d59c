# SPDX-License-Identifier: Apache-2.0
"""Do every fault of the host platform on a lab that is up and under load, and judge each window.

Those that restart nothing are done three times, the others once, and ten shams. A window is good
if its effect was verified, its measured dose is within the tolerance that stands here, nothing of
it is left in any pod, and the client is back in its steady state. What is done is kept in a JSON
Lines file: a second call goes on where the first one ended. Needs root and `make lab-up`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from fault_state import chaos_rules, pod_state  # noqa: E402 - a tool, not a package

NODE = f"node/{socket.gethostname().partition('.')[0]}"
REPLICA, GATEWAY, HEAD = "replica/llm-1", "gateway/nginx", "head/ray"
CLIENT, SERVICE = "client/loadgen", "service/llm"
REPETITIONS, SHAMS = 3, 10
HOLD_S = 12
# A second load looks at the service before it sends.
LONG: dict[str, Any] = {"duration_s": 30}
RATE_PER_S = 2.0
# Most of a prompt is what all prompts share, so that there is a prefix cache to lose.
REQUEST = ("--prompt-tokens", "64", "--shared-tokens", "48", "--output-tokens", "32")
_STEADY_S, _STEADY_TIMEOUT_S = 6.0, 60.0


@dataclass(frozen=True)
class Case:
    """One fault as it is done, and between what its measured dose must be."""

    fault: str
    target: str
    dose: str
    least: float
    most: float
    parameters: dict[str, Any] = field(default_factory=dict)
    repetitions: int = REPETITIONS
    users: int = 0
    """Users who ask beside the load, where the fault shows only with so much in flight."""

    @property
    def name(self) -> str:
        """The fault with its mechanism, and what it is done to."""
        mechanism = self.parameters.get("mechanism", "")
        return " ".join(filter(None, [self.fault, mechanism, self.target]))


CASES = (
    Case("F01", REPLICA, "cpu_cores", 0.0, 0.23, {"cpu_limit_cores": 0.2}),
    Case("F01", REPLICA, "cpu_cores", 0.0, 0.23, {"mechanism": "duty_cycle"}),
    Case("F01", REPLICA, "stress_cores", 0.2, 4.0, {"mechanism": "stress"}),
    Case("F02", NODE, "cores", 0.5, 64),
    Case("F03", REPLICA, "ballast_mib", 460, 564, {"ballast_mib": 512}),
    Case("F05", REPLICA, "rate_kib_s", 150, 768, {"rate_kib_s": 512}),
    Case("F06", REPLICA, "round_trip_ms", 70, 150, {"delay_ms": 100}),
    Case("F07", REPLICA, "loss_ratio", 0.1, 0.3, {"loss_ratio": 0.2}),
    Case("F08", REPLICA, "sent_kbit_s", 1, 147, {"rate_kbit_s": 128}),
    # Shorter than Ray's patience with a silent node, which would end in a restart.
    Case("F09", REPLICA, "packets", 1, math.inf, {"duration_s": 8}),
    Case(
        "F09", REPLICA, "packets", 1, math.inf, {"duration_s": 8, "mechanism": "iptables_tcp_reset"}
    ),
    Case("F10", REPLICA, "refused_ratio", 1, 1),
    Case("F12", REPLICA, "stopped_ratio", 1, 1),
    Case("F13", REPLICA, "stopped_ratio", 0.55, 0.85, {"stopped_ratio": 0.7}),
    Case("F31", "telemetry/pod-exporter", "silent_ratio", 1, 1),
    Case("F31", "telemetry/prometheus", "silent_ratio", 1, 1),
    Case("F31", "telemetry/node-exporter", "silent_ratio", 1, 1, {"mechanism": "iptables_reject"}),
    Case("F32", GATEWAY, "offset_s", -32, -28, {"offset_s": -30}),
    Case("F15", HEAD, "queued_requests", 1, math.inf, {"max_ongoing_requests": 1}, users=12),
    Case("F23", CLIENT, "kv_cache_usage_ratio", 0.9, 1, LONG | {"users": 24, "output_tokens": 64}),
    Case("F25", CLIENT, "engine_requests_per_s", 4, 8, LONG | {"rate_per_s": 4}),
    Case("F26", CLIENT, "engine_prompt_tokens_per_s", 300, 3000, LONG | {"prompt_tokens": 1000}),
    Case("F27", CLIENT, "prefix_hit_ratio_under", 0, 0.35, LONG),
    Case("F11", GATEWAY, "killed_ratio", 1, 1, repetitions=1),
    Case("F11", REPLICA, "killed_ratio", 1, 1, repetitions=1),
    Case("F04", REPLICA, "oom_kills", 1, 1, repetitions=1),
    Case("F30", REPLICA, "replicas_lost", 1, 1, repetitions=1),
    Case("F28", REPLICA, "load_delay_s", 15, 20, {"load_delay_s": 15, "duration_s": 90}, 1),
    Case("F24", SERVICE, "replicas", 1, 3, {"duration_s": 180}, 1),
    Case("F29", SERVICE, "refused", 1, math.inf, {"duration_s": 180}, 1),
    Case("F14", HEAD, "killed_ratio", 1, 1, repetitions=1),
    Case("F11", REPLICA, "killed_ratio", 0.5, 1, {"mechanism": "sigkill_pod"}, 1),
)
SHAM = Case("F00", REPLICA, "throttled_periods_ratio", 0, 0.05, {"duration_s": 6}, SHAMS)


@dataclass
class Window:
    """What one window showed."""

    case: str
    repetition: int
    good: bool
    problems: list[str]
    outcome: str
    dose: dict[str, float]
    messages: list[str]
    # Seconds: from the call to the dose, to the verified effect, from the revert to its proof, and
    # until the client was back.
    armed_s: float | None = None
    effect_s: float | None = None
    revert_s: float | None = None
    steady_s: float | None = None
    watchdog_rss_mib: float | None = None
    watchdog_cpu_ratio: float | None = None


class Lab:
    """The lab that is up, and the agent on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pods = json.loads((folder / "pods.json").read_text(encoding="utf-8"))["pods"]
        self.agent, self.state = folder / "chaos/agent.pyz", folder / "chaos/state"
        self._service = json.loads((folder / "lab.json").read_text(encoding="utf-8"))["service"]

    def wait_until_whole(self, timeout_s: float = 180.0) -> None:
        """Wait until Serve has every replica: what a fault provoked, it starts again later."""
        replicas = sum(pod["component"].startswith("replica/") for pod in self.pods)
        end = time.monotonic() + timeout_s
        while self._running() < replicas:
            if time.monotonic() > end:
                raise RuntimeError(f"Serve has not {replicas} replicas after {timeout_s:.0f} s")
            time.sleep(2)

    def _running(self) -> int:
        token = Path(self._service["token_file"]).read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(self._service["url"], headers=headers)  # noqa: S310 - the lab's
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the lab's own
            apps = json.load(answer)["applications"]
        return sum(
            replica["state"] == "RUNNING"
            for app in apps.values()
            for name, deployment in app["deployments"].items()
            if name.startswith("LLMServer")
            for replica in deployment["replicas"]
        )

    def snapshot(self) -> dict[str, object]:
        """Return all that a fault may change in any pod."""
        found: dict[str, object] = {"machine": chaos_rules()}
        for pod in self.pods:
            cgroup = {name: Path(path) for name, path in pod["cgroup"].items() if name != "version"}
            found[pod["name"]] = pod_state(cgroup, pod["netns"])
            found["neighbour"] = (cgroup["cpu"].parents[1] / "neighbour").exists()
        return found

    def run(self, case: Case, truth: Path) -> subprocess.Popen[str]:
        """Start the agent on a case."""
        parameters = {"duration_s": HOLD_S, **case.parameters}
        spec = {"fault": case.fault, "target": case.target, "parameters": parameters}
        paths = ["--state-dir", self.state, "--pods", self.folder / "pods.json", "--truth", truth]
        process = subprocess.Popen(
            [sys.executable, str(self.agent), "run", *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if process.stdin is None:
            raise RuntimeError("a pipe was asked for")
        process.stdin.write(json.dumps(spec | {"confirm": case.target}))
        process.stdin.close()
        process.stdin = None
        return process

    def watchdog(self) -> int | None:
        """Return the newest watchdog's number."""
        files = sorted(self.state.glob("windows/*/watchdog.json"))
        return int(json.loads(files[-1].read_text(encoding="utf-8"))["pid"]) if files else None


class Client:
    """The load, and what it has seen since a moment."""

    def __init__(self, folder: Path, url: str, seconds: int) -> None:
        self.url = url
        self._records = folder / "requests.jsonl"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "loadgen", "run", "--url", url),
                *("--rate", str(RATE_PER_S), "--duration", str(seconds)),
                *REQUEST,
                *("--out", str(folder), "--force"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.median_ms = 0.0

    def settle(self) -> None:
        """Wait for a first steady state, and remember how long a request takes in it."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError("the load has ended: is the service up?")
            time.sleep(10)
            seen = self._since(time.time_ns() - 8 * 10**9)
            good = [each["response_latency_ms"] for each in seen if each["outcome"] == "success"]
            if len(good) >= RATE_PER_S * 5 and len(good) == len(seen):
                self.median_ms = statistics.median(good)
                return
        raise RuntimeError("the service is not steady: requests fail without a fault")

    def _since(self, begin_ns: int) -> list[dict[str, Any]]:
        lines = self._records.read_text(encoding="utf-8").splitlines()
        # Newest last; the last line may be half a one.
        found = []
        for line in reversed(lines):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record["end_ns"] < begin_ns - 60 * 10**9:
                break
            if record["scheduled_ns"] >= begin_ns:
                found.append(record)
        return found

    def regain(self) -> float | None:
        """Wait until requests are as good as before; return the seconds, or None if too long."""
        begin = time.monotonic()
        while time.monotonic() - begin < _STEADY_TIMEOUT_S:
            time.sleep(1)
            if time.monotonic() - begin < _STEADY_S:
                continue
            seen = self._since(time.time_ns() - round(_STEADY_S * 1e9))
            good = [each["response_latency_ms"] for each in seen if each["outcome"] == "success"]
            if (
                len(good) >= RATE_PER_S * (_STEADY_S - 3)
                and len(good) == len(seen)
                and statistics.median(good) <= 1.5 * self.median_ms + 300
            ):
                return time.monotonic() - begin - _STEADY_S
        return None

    def close(self) -> None:
        """End the load."""
        self._process.terminate()
        self._process.wait(60)


class Watch(threading.Thread):
    """Looks at the memory and the CPU time of a window's watchdog."""

    def __init__(self, lab: Lab, known: int | None) -> None:
        super().__init__(daemon=True)
        self._lab, self._known = lab, known
        self._ending = threading.Event()
        self.rss_mib: float | None = None
        self.cpu_ratio: float | None = None

    def run(self) -> None:
        """Look twice a second."""
        begin, first, pid = 0.0, 0.0, None
        ticks = os.sysconf("SC_CLK_TCK")
        while not self._ending.wait(0.5):
            if pid is None:
                newest = self._lab.watchdog()
                if newest == self._known:
                    continue
                pid = newest
            try:
                status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
                stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
            except (FileNotFoundError, ProcessLookupError):
                return
            rss = next((line for line in status.splitlines() if line.startswith("VmRSS")), None)
            if rss is None:  # it has ended, and nobody has asked how
                return
            self.rss_mib = max(self.rss_mib or 0.0, int(rss.split()[1]) / 1024)
            used, now = sum(map(int, stat.split()[11:13])) / ticks, time.monotonic()
            if begin == 0.0:
                begin, first = now, used
            elif now - begin >= 2:
                self.cpu_ratio = (used - first) / (now - begin)

    def close(self) -> None:
        """Look no more."""
        self._ending.set()
        self.join()


def seconds_between(times: dict[str, str | None], first: str, last: str) -> float | None:
    """Return the seconds between two times of a ground truth; None where one did not come."""
    begin, end = times[first], times[last]
    if begin is None or end is None:
        return None
    parse = datetime.fromisoformat
    return round((parse(end[:26]) - parse(begin[:26])).total_seconds(), 3)


@contextlib.contextmanager
def users(count: int, url: str) -> Iterator[None]:
    """Have so many users ask beside the load."""
    if not count:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        most = ("--users", str(count), "--duration", "600")
        command = [sys.executable, "-P", "-m", "loadgen", "run", "--url", url, *most, *REQUEST]
        process = subprocess.Popen(
            [*command, "--out", folder, "--force"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def do(case: Case, repetition: int, lab: Lab, client: Client) -> Window:
    """Do one window and judge it."""
    lab.wait_until_whole()
    before = lab.snapshot()
    with tempfile.TemporaryDirectory() as folder, users(case.users, client.url):
        path = Path(folder, "truth.json")
        watch = Watch(lab, lab.watchdog())
        watch.start()
        said = lab.run(case, path).communicate()[1].strip()
        watch.close()
        truth = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if truth is None:
        return Window(case.name, repetition, False, [said or "no ground truth"], "none", {}, [])
    measured, times = truth["dose"]["measured"], truth["times"]
    problems = []
    if truth["outcome"] != "effective":
        problems.append(truth["outcome"])
    value = measured.get(case.dose)
    if value is None or not case.least <= value <= case.most:
        problems.append(f"{case.dose} is {value}, not from {case.least:g} to {case.most:g}")
    if times["revert_verified"] is None:
        problems.append("the revert was not verified")
    after = lab.snapshot()
    if left := [name for name in after if after[name] != before[name]]:
        problems.append(f"not as before: {', '.join(f'{n}: {after[n]}' for n in left)}")
    steady_s = client.regain()
    if steady_s is None:
        problems.append(f"the client was not steady within {_STEADY_TIMEOUT_S:.0f} s")
    return Window(
        case.name,
        repetition,
        not problems,
        problems,
        truth["outcome"],
        measured,
        truth["messages"],
        seconds_between(times, "requested", "applied"),
        seconds_between(times, "applied", "effect_first_seen"),
        seconds_between(times, "revert_requested", "revert_verified"),
        None if steady_s is None else round(steady_s, 1),
        None if watch.rss_mib is None else round(watch.rss_mib, 1),
        None if watch.cpu_ratio is None else round(watch.cpu_ratio, 4),
    )


def todo(done: set[tuple[str, int]], only: list[str]) -> Iterator[tuple[Case, int]]:
    """Yield what is still to be done: everything once, the shams, then the repetitions."""
    cases = [case for case in CASES if not only or case.fault in only]
    shams = [(SHAM, number) for number in range(SHAMS)] if not only or "F00" in only else []
    order = [(case, 0) for case in cases if case.repetitions > 1]
    order += shams[:5]
    order += [(case, 0) for case in cases if case.repetitions == 1]
    order += shams[5:]
    order += [(case, n) for n in range(1, REPETITIONS) for case in cases if n < case.repetitions]
    yield from (each for each in order if (each[0].name, each[1]) not in done)


def read(path: Path) -> list[Window]:
    """Return the windows that were done, the newest of each alone."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [Window(**json.loads(line)) for line in lines]
    return list({(each.case, each.repetition): each for each in found}.values())


def table(windows: list[Window]) -> str:
    """Return a Markdown table, one row a case."""
    groups: dict[str, list[Window]] = defaultdict(list)
    for window in windows:
        groups[window.case].append(window)
    lines = [
        "| fault and target | good | dose (its bounds) | armed s | effect s | revert s | back s |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in (*CASES, SHAM):
        found = groups.get(case.name)
        if not found:
            continue
        doses = sorted(each.dose[case.dose] for each in found if case.dose in each.dose)
        shown = f"{doses[0]:g}" if doses and doses[0] == doses[-1] else ""
        if doses and not shown:
            shown = f"{doses[0]:g} to {doses[-1]:g}"
        bounds = f"{case.least:g} to {case.most:g}"
        lines.append(
            f"| {case.name} | {sum(each.good for each in found)} of {len(found)} | "
            f"`{case.dose}` {shown or 'none'} ({bounds}) | "
            + " | ".join(
                _middle([getattr(each, name) for each in found])
                for name in ("armed_s", "effect_s", "revert_s", "steady_s")
            )
            + " |"
        )
    rss = [each.watchdog_rss_mib for each in windows if each.watchdog_rss_mib is not None]
    cpu = [each.watchdog_cpu_ratio for each in windows if each.watchdog_cpu_ratio is not None]
    lines.append(f"\n{sum(each.good for each in windows)} of {len(windows)} windows were good.")
    if rss and cpu:
        lines.append(
            f"The watchdog held {max(rss):.0f} MiB at most and used "
            f"{statistics.median(cpu) * 100:.1f} % of one CPU in the median."
        )
    return "\n".join(lines)


def _middle(values: list[float | None]) -> str:
    seen = [value for value in values if value is not None]
    return f"{statistics.median(seen):.1f}" if seen else "-"


def main() -> int:
    """Do what is still to be done, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lab-dir", type=Path, default=Path("/var/lib/rcalab"))
    parser.add_argument("--url", default="http://10.77.0.2:8080", help="the service")
    parser.add_argument("--out", type=Path, default=ROOT / "results/fault-acceptance.jsonl")
    parser.add_argument("--budget-s", type=int, default=7200, help="begin no window after so long")
    parser.add_argument("--only", nargs="*", default=[], help="ids of faults (default: all)")
    parser.add_argument("--table", action="store_true", help="print the table and do nothing")
    options = parser.parse_args()
    windows = read(options.out)
    if options.table:
        sys.stdout.write(f"{table(windows)}\n")
        return 0
    if not (options.lab_dir / "lab.json").exists():
        parser.error("no lab is up: make lab-up")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.budget_s
    lab = Lab(options.lab_dir)
    done = {(each.case, each.repetition) for each in windows if each.good}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        client = Client(Path(folder), options.url, options.budget_s + 600)
        stack.callback(client.close)
        client.settle()
        for case, repetition in todo(done, options.only):
            if time.monotonic() > end:
                sys.stderr.write("the time is over; call again to go on\n")
                break
            window = do(case, repetition, lab, client)
            with options.out.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(asdict(window)) + "\n")
            verdict = "good" if window.good else "; ".join(window.problems)
            sys.stderr.write(f"{case.name} {repetition + 1}: {verdict}\n")
    windows = read(options.out)
    sys.stdout.write(f"{table(windows)}\n")
    return 0 if all(each.good for each in windows) else 1


if __name__ == "__main__":
    sys.exit(main())
