# SPDX-License-Identifier: Apache-2.0
"""Kill the agent, its module and its watchdog in every state of every fault, in parallel sandboxes.

After each kill the sandbox must be as it was within the fault's time to live and two seconds.
Needs root and no lab; prints a Markdown table and exits with 1 if one was not put back.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import fault_kills  # noqa: E402 - a tool, not a package
import fault_sandbox  # noqa: E402 - the same
import fault_stand_ins  # noqa: E402 - the same


def main() -> int:
    """Carry the plan out, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=240, help="how many (default %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="decides the plan (default %(default)s)"
    )
    parser.add_argument(
        "--sandboxes",
        type=int,
        default=2 * (os.cpu_count() or 1),
        help="side by side (default %(default)s)",
    )
    parser.add_argument("--no-costly", action="store_true", help="leave out what burns whole CPUs")
    options = parser.parse_args()
    if (problem := fault_sandbox.why_not()) is not None:
        parser.error(problem)
    faults = fault_kills.injections(costly=not options.no_costly, alone=True)
    plan = fault_kills.plan(options.kills, options.seed, faults)
    outcomes: list[fault_kills.Outcome] = []
    alone = threading.Lock()
    with tempfile.TemporaryDirectory() as folder:
        agent = fault_sandbox.build_agent(Path(folder, "agent.pyz"))

        def work(number: int) -> None:
            with fault_stand_ins.EquippedSandbox(agent, number) as sandbox:
                for kill in plan[number :: options.sandboxes]:
                    with alone if kill.injection.alone else threading.Lock():
                        outcome = fault_kills.carry_out(sandbox, kill)
                    outcomes.append(outcome)
                    if outcome.problem is not None:
                        sys.stderr.write(f"{kill}: {outcome.problem}\n")

        with ThreadPoolExecutor(options.sandboxes) as pool:
            list(pool.map(work, range(options.sandboxes)))
    sys.stdout.write(f"{table(outcomes)}\n")
    return 1 if any(outcome.problem for outcome in outcomes) else 0


def table(outcomes: list[fault_kills.Outcome]) -> str:
    """Return a Markdown table: one row for each victim and state."""
    groups: dict[tuple[str, str], list[fault_kills.Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.kill.victim, outcome.kill.state].append(outcome)
    lines = [
        "| killed | in state | kills | reached | faults | back | median s | slowest s | limit s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    order = (fault_kills.RUNNER, fault_kills.MODULE, fault_kills.WATCHDOG)
    for victim in order:
        for state in fault_kills.STATES:
            found = groups.get((victim, state))
            if not found:
                continue
            seconds = [each.seconds for each in found]
            back = sum(each.problem is None for each in found)
            lines.append(
                f"| {victim} | {state} | {len(found)} | {sum(each.reached for each in found)} | "
                f"{len({each.kill.injection.name for each in found})} | {back} | "
                f"{statistics.median(seconds):.1f} | {max(seconds):.1f} | "
                f"{min(each.limit_s for each in found):.0f} |"
            )
    back = sum(each.problem is None for each in outcomes)
    lines.append(f"\n{back} of {len(outcomes)} kills were put back in time.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
