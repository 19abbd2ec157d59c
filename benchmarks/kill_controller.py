# SPDX-License-Identifier: Apache-2.0
"""Kill the controller in the middle of a fault, at different moments, and see the undo come.

Needs a lab that is up. For each moment an experiment is started, and so many seconds after the
fault was applied ansible-playbook is killed with SIGKILL, every second time with all that it
started. The time until the pod's CPU quota is back is measured against the fault's time to live.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from process_tree import kill_tree  # noqa: E402 - a tool, not a package

PODS_FILE = Path("/var/lib/rcalab/pods.json")
TTL_MARGIN_S = 30


def quota_file(component: str) -> Path:
    """Return the file that holds the CPU quota of a component's pod."""
    pods = json.loads(PODS_FILE.read_text(encoding="utf-8"))["pods"]
    cgroup = next(pod["cgroup"] for pod in pods if pod["component"] == component)
    return Path(cgroup["cpu"], "cpu.cfs_quota_us" if cgroup["version"] == 1 else "cpu.max")


def is_limited(quota: Path) -> bool:
    """Tell whether a quota is set."""
    return not quota.read_text(encoding="ascii").startswith(("-1", "max"))


def wait_until(limited: bool, quota: Path, timeout_s: float) -> float:
    """Wait until the quota is set or gone; return the seconds it took."""
    start = time.monotonic()
    while is_limited(quota) is not limited:
        if time.monotonic() - start > timeout_s:
            raise TimeoutError(
                f"{quota}: still {'without' if limited else 'with'} a limit after {timeout_s:.0f} s"
            )
        time.sleep(0.05)
    return time.monotonic() - start


def kill_at(moment_s: float, fault_s: int, only_controller: bool, quota: Path) -> float:
    """Kill the controller ``moment_s`` seconds into the fault; return the seconds to the undo."""
    with tempfile.TemporaryDirectory() as results:
        variables = {
            "experiment_results_dir": results,
            "experiment_steady_state_s": 5,
            "experiment_baseline_s": 5,
            "experiment_fault_s": fault_s,
            "experiment_recovery_s": 5,
        }
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                str(ROOT / "playbooks" / "experiment.yml"),
                "--extra-vars",
                json.dumps(variables),
            ],
            cwd=ROOT,
            env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        wait_until(True, quota, 120)
        time.sleep(moment_s)
        if only_controller:
            process.kill()
        else:
            kill_tree(process.pid)
        process.wait()
        took = wait_until(False, quota, fault_s + TTL_MARGIN_S + 2)
        # The load that was started outlives the controller by its own drain at most.
        time.sleep(5)
        return took


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Kill at each moment and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--moments",
        type=float,
        nargs="+",
        default=[0.0, 1.0, 4.0, 9.0, 14.0],
        help="seconds into the fault",
    )
    parser.add_argument(
        "--fault", type=int, default=20, help="length of the fault in seconds (default 20)"
    )
    options = parser.parse_args()
    if not PODS_FILE.exists():
        parser.error("no lab is up: make lab-up")
    quota = quota_file("replica/llm-0")
    say("| killed | into the fault | quota back after | time to live left |")
    say("|---|---|---|---|")
    for index, moment in enumerate(options.moments):
        only = index % 2 == 0
        took = kill_at(moment, options.fault, only, quota)
        left = options.fault + TTL_MARGIN_S - moment - took
        who = "ansible-playbook" if only else "ansible-playbook and all that it started"
        say(f"| {who} | {moment:.0f} s | {took:.1f} s | {left:.0f} s |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
