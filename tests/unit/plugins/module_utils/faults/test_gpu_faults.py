# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of a GPU, with stand-ins of nvidia-smi and of the CUDA driver: none was run on a GPU.

The stand-ins are programs of their own (``fake_nvidia_smi.py``, ``fake_libcuda.c``), so that the
agent, its watchdog and its helpers find them as they find the real ones.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils.faults import gpus, helper, processes
from ansible_collections.rcalab.llm.plugins.module_utils.faults.errors import (
    FaultError,
    NotRevertedError,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults.undo import Undo
from ansible_collections.rcalab.llm.plugins.module_utils.faults.undo_gpu import (
    SetPowerLimit,
    UnlockClock,
)

from .conftest import COMPONENT, IDLE, Lab, is_running, wait_for
from .fake_driver import OTHER_UUID, START, UUID, Driver

GPU, OTHER = "gpu/host.0", "gpu/host.1"
EFFECTIVE, REFUSED, NOT_EFFECTIVE, ABORTED, CONTAMINATED = 0, 2, 3, 4, 5
# A look a second, and two of them to be sure.
DURATION_S = 5

needs_admin = pytest.mark.skipif(
    not gpus.may_change_settings(), reason="needs CAP_SYS_ADMIN, as the driver would"
)
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Both stand-ins, found as the real ones are; libcuda's only where gcc is."""
    folder = tmp_path / "driver"
    folder.mkdir()
    made = Driver(folder)
    for name, value in made.install().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def lab(plain_lab: Lab, driver: Driver) -> Lab:
    """A lab of one pod that computes on the first of two GPUs, which are for faults."""
    pod = plain_lab.start(IDLE)
    driver.say(processes=[{"uuid": UUID, "pid": pod.pid, "mib": 72000}])
    describe(plain_lab, {GPU: UUID, OTHER: OTHER_UUID})
    return plain_lab


def describe(lab: Lab, known: dict[str, str]) -> None:
    facts = {
        "format": 1,
        "node": "node/host",
        "supervisor": "/nonexistent",
        "service": {"kind": "http", "url": "http://{address}:9/health"},
        "client": {"command": ["loadgen"], "url": "http://127.0.0.1:9"},
        "engine": {"model": "none", "max_model_len": 1024, "metrics": "http://{address}:9/metrics"},
        "prometheus": None,
        "telemetry": [],
        "gpus": [{"component": name, "uuid": uuid} for name, uuid in known.items()],
        "grafana": None,
        "deny": [],
        "faketime": {},
    }
    lab.pods.with_name("lab.json").write_text(json.dumps(facts))


def finish(run: subprocess.Popen[str], timeout_s: float = 40) -> tuple[int, str]:
    said = run.communicate(timeout=timeout_s)[1]
    return run.returncode, said


@needs_admin
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "parameters", "changes", "dose", "least", "most"),
    [
        ("F17", {"clock_ratio": 0.4}, [["-lgc", "792,792"], ["-rgc"]], "clock_ratio", 0.39, 0.41),
        ("F18", {"limit_ratio": 0.4}, [["-pl", "245"], ["-pl", "612.50"]], "limit_w", 245, 245),
    ],
)
def test_a_setting_acts_and_is_given_back_as_it_was(
    lab: Lab,
    driver: Driver,
    fault: str,
    parameters: dict[str, float],
    changes: list[list[str]],
    dose: str,
    least: float,
    most: float,
) -> None:
    driver.tune(power_limit=612.5)  # somebody's, and not the default
    before = driver.read()

    code, said = finish(lab.run(fault, GPU, duration_s=DURATION_S, **parameters))

    assert code == EFFECTIVE, said
    assert driver.read() == before
    assert driver.changes() == [["-i", UUID, *change] for change in changes]
    truth = lab.truth()
    assert least <= truth["dose"]["measured"][dose] <= most
    assert [cause["component"] for cause in truth["root_causes"]] == [GPU]
    assert f"{UUID}, on which {COMPONENT} computed" in truth["messages"]
    assert lab.states() == [
        *("PLANNED", "PREFLIGHT", "ARMED", "INJECTING", "ACTIVE", "REVERTING", "REVERTED")
    ]


@needs_admin
@pytest.mark.slow
def test_a_sham_on_a_gpu_sets_nothing_and_sees_nothing(lab: Lab, driver: Driver) -> None:
    before = driver.read()

    code, said = finish(lab.run("F00", GPU, duration_s=DURATION_S))

    assert code == EFFECTIVE, said
    truth = lab.truth()
    assert (truth["fault"], truth["sham"], truth["target"]["component"]) == ("F00", True, GPU)
    assert truth["root_causes"] == []
    assert truth["dose"]["intended"] == {}
    assert truth["dose"]["measured"]["sm_clock_mhz"] == before["gpus"][0]["load_mhz"]
    assert truth["times"]["effect_first_seen"] is None
    # Its undo lets the clock go, as that of the fault does.
    assert driver.changes() == [["-i", UUID, "-rgc"]]
    assert driver.read() == before


def test_a_sham_on_a_gpu_is_refused_where_the_fault_would_be(lab: Lab, driver: Driver) -> None:
    driver.say(processes=[])

    code, said = finish(lab.run("F00", GPU, duration_s=DURATION_S))

    assert code == REFUSED
    assert f"no pod of the lab computes on {GPU}" in said


@needs_admin
@pytest.mark.slow
@pytest.mark.parametrize("fault", ["F17", "F18"])
@pytest.mark.parametrize("state", ["ARMED", "INJECTING", "ACTIVE"])
def test_the_watchdog_gives_a_setting_back_when_the_agent_is_killed(
    lab: Lab, driver: Driver, fault: str, state: str
) -> None:
    driver.tune(power_limit=612.5)
    before = driver.read()
    run = lab.run(fault, GPU, duration_s=60)
    lab.await_state(state)

    run.kill()
    run.communicate()

    lab.await_undone(20)
    assert driver.read() == before
    assert (lab.truth()["outcome"], lab.truth()["reverted_by"]) == ("aborted", "watchdog")


@needs_admin
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "change", "message"),
    [
        ("F17", {"lock_mhz": 1500}, "changed the clock: it is 1500 MHz, and was locked at 594 MHz"),
        ("F17", {"lock_mhz": None}, "changed the clock: it is 1755 MHz, and was locked at 594 MHz"),
        ("F18", {"power_limit": 500.0}, "set the power limit to 500.00 W; it was set to 306 W"),
    ],
)
def test_a_setting_that_somebody_else_changes_spoils_the_window(
    lab: Lab, driver: Driver, fault: str, change: dict[str, object], message: str
) -> None:
    driver.tune(power_limit=612.5)
    before = driver.read()
    run = lab.run(fault, GPU, duration_s=60)
    lab.await_state("ACTIVE")

    driver.tune(**change)
    code, said = finish(run)

    assert code == CONTAMINATED, said
    assert message in lab.truth()["messages"][0]
    assert driver.read() == before


@needs_admin
@pytest.mark.slow
def test_what_else_holds_the_clock_down_is_on_record(lab: Lab, driver: Driver) -> None:
    driver.tune(reasons=0x20)

    code, said = finish(lab.run("F17", GPU, duration_s=DURATION_S))

    assert code == EFFECTIVE, said
    told = "\n".join(lab.truth()["messages"])
    assert "before the dose its clock was held down by the temperature (software)" in told
    assert "its clock was held down by the temperature (software) in" in told
    assert "a clock setting" not in told


@needs_admin
@pytest.mark.slow
def test_a_cap_that_nobody_feels_is_not_effective(lab: Lab, driver: Driver) -> None:
    driver.tune(load_w=250.0)  # decode

    code, said = finish(lab.run("F18", GPU, duration_s=3))

    assert code == NOT_EFFECTIVE, said
    assert driver.read()["gpus"][0]["power_limit"] == 700.0


@needs_admin
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "answers", "gpu", "message"),
    [
        ("F17", {"permitted": False}, {}, "does not have permission to change clocks"),
        ("F18", {"permitted": False}, {}, "does not have permission to change power limit"),
        ("F17", {}, {"settable": False}, "is not supported"),
        ("F18", {}, {"settable": False}, "is not supported"),
        ("F17", {"hangs": True}, {}, "nvidia-smi did not end in 3 s"),
    ],
)
def test_a_setting_that_the_driver_refuses_is_an_aborted_window(
    lab: Lab,
    driver: Driver,
    fault: str,
    answers: dict[str, bool],
    gpu: dict[str, bool],
    message: str,
) -> None:
    driver.say(**answers)
    driver.tune(**gpu)
    before = driver.read()

    code, said = finish(lab.run(fault, GPU, duration_s=10))

    assert code == ABORTED, said
    assert message in lab.truth()["messages"][0]
    assert driver.read() == before


REFUSALS = [
    ("F17", {"mig": "Enabled"}, {}, "is split by MIG"),
    ("F16", {"mig": "Enabled"}, {}, "is split by MIG"),
    ("F17", {"index": 3}, {}, f"{UUID} is GPU 3 now, and no longer {GPU}"),
    ("F18", {"persistence": "Disabled"}, {}, "is not in persistence mode"),
    ("F17", {"lock_mhz": 900}, {}, "it is locked or set already"),
    ("F17", {"busy_percent": 0}, {}, "was idle for 5 s, and only under load can be seen"),
    ("F17", {"load_mhz": 600, "reasons": 0x4}, {}, "600 MHz under load already, by the power"),
    ("F18", {}, {"limit_ratio": 0.1}, "takes no limit under 200 W: ask for a limit_ratio of 0.29"),
    ("F18", {"power_limit": 150.0}, {}, "is 150 W, and from 200 to 700 W can be set"),
    ("F18", {"module_limit": 300.0}, {}, "is held to 300 W already"),
    ("F18", {"least_limit": None}, {}, "does not tell its power limits"),
    ("F16", {"compute_mode": "Exclusive_Process"}, {}, "takes no second process"),
    ("F16", {"memory_mib": 72500}, {}, "500 MiB of the memory of gpu/host.0 is free"),
    ("F19", {}, {"held_ratio": 0.1}, "would leave it all that it had: ask for a greater"),
]


@needs_admin
@pytest.mark.parametrize(("fault", "gpu", "parameters", "message"), REFUSALS)
def test_a_gpu_to_which_it_can_not_be_done_is_left_alone(
    lab: Lab,
    driver: Driver,
    fault: str,
    gpu: dict[str, object],
    parameters: dict[str, object],
    message: str,
) -> None:
    driver.tune(**gpu)

    code, said = finish(lab.run(fault, GPU, duration_s=5, **parameters))

    assert code == REFUSED, said
    assert message in said
    assert driver.changes() == []
    assert list(lab.state.glob("windows/*")) == []


def test_a_ballast_that_does_not_fit_is_refused(lab: Lab, driver: Driver) -> None:
    (pod,) = driver.read()["processes"]
    driver.say(processes=[pod | {"mib": 6000}])
    driver.tune(memory_mib=8192)

    code, said = finish(lab.run("F19", GPU, held_ratio=0.95))

    assert code == REFUSED
    assert "7782 MiB and a reserve of 512 MiB are not free on gpu/host.0 without the engine" in said


@needs_admin
def test_a_lock_of_which_the_driver_does_not_tell_is_seen_by_the_clock(
    lab: Lab, driver: Driver
) -> None:
    driver.tune(lock_mhz=900)
    driver.say(tells_locks=False)

    code, said = finish(lab.run("F17", GPU, duration_s=5))

    assert code == REFUSED
    assert "the clock of gpu/host.0 is 900 of 1980 MHz: it is locked or set already" in said
    assert driver.changes() == []


def test_a_gpu_that_others_use_is_left_alone(lab: Lab, driver: Driver) -> None:
    state = driver.read()
    driver.say(processes=[*state["processes"], {"uuid": UUID, "pid": os.getpid(), "mib": 500}])

    code, said = finish(lab.run("F16", GPU, duration_s=5))

    assert code == REFUSED
    assert f"processes [{os.getpid()}] that are no pod's compute on {GPU} too" in said


def test_a_gpu_that_no_pod_uses_is_left_alone(lab: Lab) -> None:
    code, said = finish(lab.run("F16", OTHER, duration_s=5))

    assert code == REFUSED
    assert f"no pod of the lab computes on {OTHER}" in said


@pytest.mark.parametrize(
    ("known", "target", "message"),
    [
        ({}, GPU, "no GPU of this host is for faults: set chaos_agent_gpu"),
        ({GPU: UUID}, OTHER, f"target '{OTHER}' is no GPU of this lab, whose GPUs are {GPU}"),
        ({GPU: UUID.replace("a0", "b0")}, GPU, "the machine has no GPU GPU-b0b0b0b0"),
        ({GPU: "0"}, GPU, "'0' is no GPU's UUID"),
    ],
)
def test_a_gpu_that_is_not_the_labs(
    lab: Lab, known: dict[str, str], target: str, message: str
) -> None:
    describe(lab, known)

    code, said = finish(lab.run("F16", target, duration_s=5))

    assert code == REFUSED
    assert message in said


def test_two_gpus_of_one_name(lab: Lab) -> None:
    path = lab.pods.with_name("lab.json")
    facts = json.loads(path.read_text())
    facts["gpus"] = [{"component": GPU, "uuid": uuid} for uuid in (UUID, OTHER_UUID)]
    path.write_text(json.dumps(facts))

    code, said = finish(lab.run("F16", GPU, duration_s=5))

    assert code == REFUSED
    assert f"target '{GPU}' is 2 GPUs" in said


@pytest.mark.parametrize("there", [True, False])
def test_a_machine_whose_driver_does_not_answer(
    lab: Lab, driver: Driver, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    driver.say(gpus=[])
    if not there:
        (driver.folder / "nvidia-smi").unlink()
        if shutil.which("nvidia-smi"):
            pytest.skip("this machine has a real one")

    code, said = finish(lab.run("F18", GPU, duration_s=5))

    assert code == REFUSED
    assert ("No devices were found" if there else "nvidia-smi is not installed") in said


# --- the undo ------------------------------------------------------------------------------------


def undo_of(*actions: Any) -> Undo:
    return Undo(processes.boot_id(), processes.current(), None, actions)


def test_the_undo_of_a_setting_can_be_done_twice_and_by_anybody(driver: Driver) -> None:
    driver.tune(power_limit=300.0, lock_mhz=600)
    undo = undo_of(SetPowerLimit(UUID, "612.50"), UnlockClock(UUID))
    with pytest.raises(NotRevertedError, match=r"300\.00 W, not 612\.50 W; .* held down"):
        undo.verify()

    read = Undo.from_json(json.loads(json.dumps(undo.to_json())))
    for _turn in range(2):
        read.restore()
        read.verify()

    gpu, other = driver.read()["gpus"]
    assert (gpu["power_limit"], gpu["lock_mhz"]) == (612.5, None)
    assert other["power_limit"] == 700.0


def test_a_gpu_that_is_gone_needs_no_undo(driver: Driver) -> None:
    driver.write(driver.read() | {"gpus": driver.read()["gpus"][1:]})
    undo = undo_of(SetPowerLimit(UUID, "612.50"), UnlockClock(UUID))

    undo.restore()
    undo.verify()


def test_a_driver_that_does_not_answer_leaves_the_undo_undone(driver: Driver) -> None:
    (driver.folder / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU is lost'\nexit 15\n")
    undo = undo_of(SetPowerLimit(UUID, "612.50"), UnlockClock(UUID))

    for step in (undo.restore, undo.verify):
        with pytest.raises(NotRevertedError, match=r"GPU is lost \(exit code 15\)"):
            step()


@pytest.mark.parametrize("uuid", ["0", "-r", f"{UUID},{OTHER_UUID}"])
def test_a_forged_gpu_is_not_touched(uuid: str) -> None:
    data = undo_of(UnlockClock(UUID)).to_json()
    data["actions"][0]["uuid"] = uuid

    with pytest.raises(FaultError, match="can't be read"):
        Undo.from_json(data)


# --- the helper on the stand-in of the CUDA driver -----------------------------------------------


def start_helper(*arguments: str, seconds: float = 1.0) -> subprocess.Popen[str]:
    options = [f"--parent={os.getpid()}", f"--seconds={seconds}", *arguments]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", inspect.getsource(helper), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@needs_gcc
def test_the_burner_launches_its_kernel_on_the_whole_gpu_of_that_uuid(driver: Driver) -> None:
    said = start_helper("spin", f"--gpu={UUID}", "--busy-ratio=0.5").communicate(timeout=20)[0]

    assert said.splitlines() == ["ready", "spun"]
    assert driver.calls() == [
        "cuInit 0",
        "cuCtxCreate_v2 4 1",  # waiting asleep, on the driver's own number of the GPU
        "cuModuleLoadData spin",
        "cuModuleGetFunction spin",
        "cuLaunchKernel 528 1 1 256 1 1 0 10000000 1",  # 4 blocks each, for 10 ms, with a sink
    ]


@needs_gcc
def test_the_ballast_takes_the_memory_when_the_engine_leaves_it(driver: Driver) -> None:
    engine = subprocess.Popen([sys.executable, "-c", IDLE])
    (driver.folder / "engine").write_text(str(engine.pid))
    ballast = start_helper("fill", f"--gpu={UUID}", "--mebibytes=40000", seconds=10)
    file = driver.folder / "cuda" / str(ballast.pid)

    def held_mib() -> int:
        return int(file.read_text().split()[1]) if file.exists() else 0

    # The context takes 500 MiB, and 6000 MiB are free beside the engine.
    wait_for(lambda: held_mib() > 6400, "what is free", 10)

    engine.kill()
    engine.wait()

    assert ballast.stdout is not None
    assert [ballast.stdout.readline().strip() for _line in range(2)] == ["ready", "held"]
    assert held_mib() == 40500
    ballast.kill()
    ballast.communicate()


@needs_gcc
@pytest.mark.parametrize(
    ("uuid", "message"),
    [
        (UUID, "cuInit failed: CUDA_ERROR_UNKNOWN (999)"),
        (UUID.replace("a0", "b0"), "the driver has no GPU GPU-b0b0b0b0"),
    ],
)
def test_the_helper_says_what_the_cuda_driver_refused(
    driver: Driver, uuid: str, message: str
) -> None:
    if uuid == UUID:
        (driver.folder / "broken").touch()

    process = start_helper("spin", f"--gpu={uuid}")
    said = process.communicate(timeout=20)[0]

    assert message in said
    assert process.returncode == 1


@pytest.mark.skipif(find_library("cuda") is not None, reason="this machine has a real one")
def test_a_machine_without_the_cuda_driver() -> None:
    said = start_helper("spin", f"--gpu={UUID}").communicate(timeout=20)[0]

    assert "NVIDIA's driver is not installed" in said


# --- the faults that use it ----------------------------------------------------------------------


@needs_gcc
@pytest.mark.slow
def test_contention_is_a_second_process_and_then_none(lab: Lab, driver: Driver) -> None:
    code, said = finish(lab.run("F16", GPU, duration_s=DURATION_S))

    assert code == EFFECTIVE, said
    measured = lab.truth()["dose"]["measured"]
    assert measured["utilisation_ratio_before"] == 0.6
    assert measured["utilisation_ratio"] == 1.0
    (burner,) = (int(file.name) for file in (driver.folder / "cuda").iterdir())
    assert not is_running(burner)
    assert driver.changes() == []


@needs_gcc
@pytest.mark.slow
def test_a_burner_ends_with_the_agent(lab: Lab, driver: Driver) -> None:
    run = lab.run("F16", GPU, duration_s=60)
    lab.await_state("ACTIVE")
    (burner,) = (int(file.name) for file in (driver.folder / "cuda").iterdir())

    run.kill()
    run.communicate()

    lab.await_undone(20)
    assert not is_running(burner)


@needs_gcc
@pytest.mark.slow
def test_a_burner_that_can_not_begin_is_an_aborted_window(lab: Lab, driver: Driver) -> None:
    (driver.folder / "broken").touch()

    code, said = finish(lab.run("F16", GPU, duration_s=10))

    assert code == ABORTED, said
    assert "cuInit failed: CUDA_ERROR_UNKNOWN (999)" in lab.truth()["messages"][0]


@needs_gcc
@pytest.mark.slow
def test_a_burner_that_somebody_kills_spoils_the_window(lab: Lab, driver: Driver) -> None:
    run = lab.run("F16", GPU, duration_s=60)
    lab.await_state("ACTIVE")
    (burner,) = (int(file.name) for file in (driver.folder / "cuda").iterdir())

    os.kill(burner, signal.SIGKILL)

    assert finish(run)[0] == CONTAMINATED
    assert lab.truth()["messages"][0] == "the burner has ended"


@contextlib.contextmanager
def sandbox_with_gpu(agent: Path, driver: Driver, most_mib: int) -> Iterator[Any]:
    """A sandbox whose engine computes on the GPU, and starts beside so many MiB of others' only."""
    fault_sandbox = pytest.importorskip("fault_sandbox")
    if (problem := fault_sandbox.why_not()) is not None:
        pytest.skip(problem)
    gpu = {"component": "gpu/sandbox.0", "uuid": UUID}
    start = START.format(folder=str(driver.folder), most_mib=most_mib)
    with fault_sandbox.Sandbox(agent, 201, {"gpus": [gpu]}, start) as made:
        yield made


@needs_gcc
@pytest.mark.root
@pytest.mark.slow
def test_an_engine_does_not_start_beside_a_ballast_and_starts_after_it(
    agent: Path, driver: Driver
) -> None:
    with sandbox_with_gpu(agent, driver, 9000) as sandbox:
        engine = sandbox.engine()

        code, said = finish(sandbox.run("F19", "gpu/sandbox.0", duration_s=15), 60)

        assert code == EFFECTIVE, said
        truth = sandbox.truth()
        assert truth["dose"]["measured"]["failed_starts"] > 1
        assert "ValueError: Free memory" in (sandbox.folder / "engine.log").read_text()
        assert 0.49 < truth["dose"]["measured"]["held_ratio"] < 0.52
        assert truth["root_causes"] == [
            {"component": "gpu/sandbox.0", "metrics": ["gpu_framebuffer_used_mib"]}
        ]
        assert sandbox.is_whole()
        assert sandbox.engine() not in (None, engine)


@needs_gcc
@pytest.mark.root
@pytest.mark.slow
def test_an_engine_that_starts_in_spite_of_the_ballast_spoils_the_window(
    agent: Path, driver: Driver
) -> None:
    with sandbox_with_gpu(agent, driver, 90000) as sandbox:
        code, said = finish(sandbox.run("F19", "gpu/sandbox.0", duration_s=30), 60)

        assert code == CONTAMINATED, said
        assert "has started in spite of the ballast" in sandbox.truth()["messages"][0]


@needs_gcc
@pytest.mark.root
@pytest.mark.slow
def test_the_watchdog_ends_the_ballast_and_awaits_the_engine(agent: Path, driver: Driver) -> None:
    with sandbox_with_gpu(agent, driver, 9000) as sandbox:
        run = sandbox.run("F19", "gpu/sandbox.0", duration_s=60)
        wait_for(lambda: "ACTIVE" in sandbox.states(), "ACTIVE", 40)

        run.kill()
        run.communicate()

        wait_for(lambda: not sandbox.left_to_undo(), "the undo", 40)
        assert sandbox.is_whole()
        assert not any(is_running(int(file.name)) for file in (driver.folder / "cuda").iterdir())
