# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a pod's network, in a real network namespace."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import Lab, traffic

pytestmark = [pytest.mark.root, pytest.mark.slow]

FAULTS = [
    ("F06", {"delay_ms": 60}),
    ("F07", {"loss_ratio": 0.3}),
    ("F08", {"rate_kbit_s": 200}),
    ("F09", {}),
    ("F09", {"mechanism": "iptables_tcp_reset"}),
]
IDS = ["delay", "loss", "bandwidth", "partition", "reset"]


def network_of(lab: Lab) -> tuple[str, str]:
    """The packet filter (without its counters and comments) and the queueing disciplines."""
    inside = ["ip", "netns", "exec", str(lab.netns)]
    rules, qdiscs = (
        subprocess.run([*inside, *command], check=True, capture_output=True, text=True).stdout
        for command in (["iptables-save"], ["tc", "qdisc", "show", "dev", "eth0"])
    )
    kept = [line for line in rules.splitlines() if line.startswith("-A")]
    return "\n".join(kept), qdiscs


@pytest.mark.parametrize(("fault", "parameters"), FAULTS, ids=IDS)
def test_a_fault_acts_and_leaves_the_network_as_it_was(
    network_lab: Lab, fault: str, parameters: dict[str, object]
) -> None:
    before = network_of(network_lab)

    with traffic(network_lab):
        run = network_lab.run(fault, duration_s=8, **parameters)
        err = run.communicate(timeout=40)[1]

    assert run.returncode == 0, (err, network_lab.journal())
    assert network_of(network_lab) == before
    assert network_lab.truth()["times"]["revert_verified"]


@pytest.mark.parametrize(("fault", "parameters"), FAULTS[:4], ids=IDS[:4])
def test_a_killed_agent_leaves_the_network_as_it_was(
    network_lab: Lab, fault: str, parameters: dict[str, object]
) -> None:
    before = network_of(network_lab)
    with traffic(network_lab):
        run = network_lab.run(fault, duration_s=60, **parameters)
        network_lab.await_state("ACTIVE")
        assert network_of(network_lab) != before

        run.kill()
        run.communicate()

        network_lab.await_undone(15)
    assert network_of(network_lab) == before
    assert network_lab.truth()["reverted_by"] == "watchdog"


def test_the_measured_dose_is_the_intended_one(network_lab: Lab) -> None:
    with traffic(network_lab):
        network_lab.run("F06", duration_s=6, delay_ms=80).communicate(timeout=40)
        delay = network_lab.truth()["dose"]["measured"]
        network_lab.run("F07", duration_s=8, loss_ratio=0.4).communicate(timeout=40)
        loss = network_lab.truth()["dose"]["measured"]

    assert delay["round_trip_ms"] - delay["round_trip_ms_before"] > 0.7 * 80
    assert loss["loss_ratio"] == pytest.approx(0.4, abs=0.15)


def test_a_device_with_a_queueing_discipline_of_its_own_keeps_it(network_lab: Lab) -> None:
    inside = ["ip", "netns", "exec", str(network_lab.netns)]
    subprocess.run([*inside, "tc", "qdisc", "add", "dev", "eth0", "root", "pfifo"], check=True)

    run = network_lab.run("F08", duration_s=1)
    err = run.communicate(timeout=30)[1]

    assert run.returncode == 2
    assert "has a queueing discipline already (pfifo)" in err
    assert "pfifo" in network_of(network_lab)[1]


def test_rules_that_somebody_takes_away_make_the_window_contaminated(network_lab: Lab) -> None:
    inside = ["ip", "netns", "exec", str(network_lab.netns), "iptables"]
    with traffic(network_lab):
        run = network_lab.run("F07", duration_s=20, loss_ratio=0.3)
        network_lab.await_state("ACTIVE")
        for command in ("-D INPUT -j RCALAB-CHAOS", "-F RCALAB-CHAOS", "-X RCALAB-CHAOS"):
            subprocess.run([*inside, *command.split()], check=True)
        err = run.communicate(timeout=30)[1]

    assert run.returncode == 5, err
    assert network_lab.truth()["outcome"] == "contaminated"


def test_a_pod_without_a_network_of_its_own_is_refused(plain_lab: Lab) -> None:
    plain_lab.start("import time; time.sleep(20)")

    run = plain_lab.run("F07", duration_s=1)
    err = run.communicate(timeout=30)[1]

    assert run.returncode == 2
    assert "F07 can't be done with lab_isolation=none: root, and a network namespace" in err
