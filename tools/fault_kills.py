# SPDX-License-Identifier: Apache-2.0
"""Kill a fault at a chosen moment, and see whether the sandbox is as it was in time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from fault_sandbox import EXPORTER, FAKETIME, HEAD, REPLICA, wait_for
from fault_stand_ins import (
    CLIENT,
    GPU,
    LOADED,
    SERVED,
    SERVICE,
    EquippedSandbox,
    has_gpu_library,
)

TTL_MARGIN_S = 30.0
EPSILON_S = 2.0
_DURATION_S = 20
# A second load takes some seconds to begin.
_LOAD_S = 30
# Whoever is killed in the revert need not have waited for it.
_SHORT_S = 10
# What others start again may take so long here, beyond the watchdog's own time.
_RESTART_S = 20.0
_RESTARTS = ("F04", "F11", "F14", "F19", "F24", "F28", "F29", "F30")
STATES = ("PREFLIGHT", "ARMED", "INJECTING", "ACTIVE", "REVERTING")
RUNNER, MODULE, WATCHDOG = "runner", "module", "watchdog"


@dataclass(frozen=True)
class Injection:
    """One fault as it is asked for."""

    fault: str
    target: str = REPLICA
    parameters: dict[str, object] = field(default_factory=dict)
    spec: dict[str, object] = field(default_factory=dict)
    # Something else than the sandbox is changed too: only one at a time may do that.
    alone: bool = False
    # It burns whole CPUs.
    costly: bool = False
    duration_s: float = _DURATION_S
    # How the lab is described to it; in its own way if not said.
    way: str | None = None
    # The load that the run has of its own meanwhile, as options of loadgen.
    own_load: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The fault, with its mechanism where it is not the default."""
        return " ".join([self.fault, *map(str, filter(None, [self.parameters.get("mechanism")]))])


_SHARED = ("--rate", "4", "--prompt-tokens", "96", "--shared-tokens", "64", "--output-tokens", "4")
_FAULTS = (
    Injection("F00", parameters={"cpu_limit_cores": 0.02}),
    Injection("F01", parameters={"cpu_limit_cores": 0.02}),
    Injection("F01", parameters={"cpu_limit_cores": 0.02, "mechanism": "duty_cycle"}),
    Injection("F01", parameters={"mechanism": "stress", "stress_workers": 1}, costly=True),
    Injection("F02", "node/sandbox", {"cores": 1}, {"confirm": "node/sandbox"}, costly=True),
    Injection("F03", parameters={"ballast_mib": 32}),
    Injection("F04"),
    Injection("F05", parameters={"rate_kib_s": 256}),
    Injection("F06"),
    Injection("F07"),
    Injection("F08"),
    Injection("F09"),
    Injection("F09", parameters={"mechanism": "iptables_tcp_reset"}),
    Injection("F10"),
    Injection("F11"),
    Injection("F12"),
    Injection("F13"),
    Injection("F14", HEAD, spec={"confirm": HEAD}),
    Injection("F15", HEAD, spec={"confirm": HEAD}, way=SERVED),
    Injection("F16", GPU),
    Injection("F17", GPU),
    Injection("F18", GPU),
    Injection("F19", GPU),
    Injection(
        "F23",
        CLIENT,
        {"users": 16, "prompt_tokens": 256, "output_tokens": 64},
        duration_s=_LOAD_S,
        way=LOADED,
    ),
    Injection("F24", SERVICE, spec={"confirm": SERVICE}, way=SERVED),
    Injection(
        "F25", CLIENT, {"rate_per_s": 10, "output_tokens": 8}, duration_s=_LOAD_S, way=LOADED
    ),
    Injection(
        "F26",
        CLIENT,
        {"rate_per_s": 4, "prompt_tokens": 1000, "give_up_s": 0.3},
        duration_s=_LOAD_S,
        way=LOADED,
    ),
    Injection("F27", CLIENT, {"rate_per_s": 8}, duration_s=_LOAD_S, way=LOADED, own_load=_SHARED),
    Injection("F28", parameters={"load_delay_s": 3}),
    Injection("F29", SERVICE, spec={"confirm": SERVICE}, way=SERVED),
    Injection("F30"),
    Injection("F31", EXPORTER),
    Injection("F31", EXPORTER, {"mechanism": "iptables_reject"}, alone=True),
    Injection("F32", parameters={"port": 8000}),
)


def injections(*, costly: bool, alone: bool) -> list[Injection]:
    """Return the faults that can be done here, those that take a whole CPU on request only."""
    return [
        each
        for each in _FAULTS
        if (costly or not each.costly)
        and (alone or not each.alone)
        and (each.fault != "F32" or FAKETIME.exists())
        and (each.fault not in ("F16", "F19") or has_gpu_library())
    ]


@dataclass(frozen=True)
class Kill:
    """Whom to kill, in which state of which fault, and how long after the state was reached."""

    injection: Injection
    state: str
    victim: str
    delay_s: float

    def __str__(self) -> str:
        return f"{self.injection.name}: {self.victim} in {self.state} + {self.delay_s:.2f} s"


def plan(count: int, seed: int, faults: list[Injection]) -> list[Kill]:
    """Return so many kills: every fault in every state first, the rest drawn."""
    drawn = random.Random(seed)  # noqa: S311 - a plan and no secret
    whole = [
        (fault, state, victim)
        for state in STATES
        for fault in faults
        for victim in (RUNNER, MODULE, WATCHDOG)
        # The watchdog is there from ARMED on, and a module's death is looked for from there on.
        if state != "PREFLIGHT" or victim == RUNNER
    ]
    drawn.shuffle(whole)
    rounds = -(-count // len(whole))
    return [Kill(*each, drawn.uniform(0, 0.3)) for each in (whole * rounds)[:count]]


@dataclass(frozen=True)
class Outcome:
    """What came of a kill.

    Attributes
    ----------
    reached
        Whether the fault came to the state, and did not end before it.
    seconds, limit_s
        Until all was as before, and how long that may take.
    problem
        What was not as before, if so.
    """

    kill: Kill
    reached: bool
    seconds: float
    limit_s: float
    problem: str | None


def carry_out(sandbox: EquippedSandbox, kill: Kill) -> Outcome:
    """Kill, and wait until the sandbox is as it was.

    The limit is the fault's time to live and 2 s; what a fault has ended has 20 s more.
    """
    wait_for(sandbox.is_whole, "the sandbox", 30)
    before, known = sandbox.snapshot(), len(sandbox.states())
    injection = kill.injection
    duration_s = injection.duration_s
    if kill.state == "REVERTING":
        duration_s = min(duration_s, _SHORT_S)
    limit_s = duration_s + TTL_MARGIN_S + EPSILON_S
    if injection.fault in _RESTARTS:
        limit_s += _RESTART_S
    with _module() as module, sandbox.own_load(injection.own_load):
        parent = ("--parent", str(module.pid))
        run = sandbox.run(
            injection.fault,
            injection.target,
            *parent,
            spec=injection.spec,
            described=sandbox.described(injection.way),
            duration_s=duration_s,
            **injection.parameters,
        )
        with contextlib.suppress(TimeoutError):  # it may have ended before, as it was refused
            wait_for(
                lambda: run.poll() is not None or kill.state in sandbox.states()[known:],
                kill.state,
                40,
                0.004,
            )
        refused = run.poll() == 2
        time.sleep(kill.delay_s)
        begin = time.monotonic()
        for pid in _victims(sandbox, run, module, kill.victim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        problem = None
        try:
            wait_for(lambda: not sandbox.left_to_undo(), "the undo", limit_s, 0.05)
            wait_for(lambda: sandbox.snapshot() == before, "the state before", 5, 0.2)
        except TimeoutError as error:
            now = sandbox.snapshot()
            changed = {name: (before[name], now[name]) for name in now if now[name] != before[name]}
            problem = f"{error}: {changed}, left {sandbox.left_to_undo()}"
        seconds = time.monotonic() - begin
        said = run.communicate()[1].strip()
    if refused:
        problem = said
    return Outcome(kill, kill.state in sandbox.states()[known:], seconds, limit_s, problem)


@contextlib.contextmanager
def _module() -> Iterator[subprocess.Popen[bytes]]:
    """Stand in for the Ansible module: a process on whose behalf the agent runs."""
    module = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(300)"])
    try:
        yield module
    finally:
        module.kill()
        module.wait()


def _victims(
    sandbox: EquippedSandbox,
    run: subprocess.Popen[str],
    module: subprocess.Popen[bytes],
    victim: str,
) -> list[int]:
    if victim == WATCHDOG:
        return sandbox.watchdogs()
    return [module.pid if victim == MODULE else run.pid]
