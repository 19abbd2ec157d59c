# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chaos agent's command line."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from . import catalogue, lock, processes, recovery, registry, watchdog
from .catalogue_pages import as_json, as_markdown, as_text
from .contract import Spec, Target
from .errors import FaultError, RefusedError
from .lab import check_allowed, load_lab
from .runner import Runner, Telling, check
from .state import StateDir
from .undo import Undo

# Exit codes of `run`.
OUTCOME_CODES = {"effective": 0, "not_effective": 3, "aborted": 4, "contaminated": 5}
FAILED, REFUSED = 1, 2

_DESCRIPTION = """\
Do one verified fault to one pod of an LLM lab, and never leave it behind.

A fault window goes like this: preflight (refuses, and touches nothing), undo written to the disk,
watchdog armed, dose given, effect verified, dose held, everything put back, revert verified.
Whatever dies meanwhile, the watchdog puts the target back."""

_RUN_EPILOG = """\
example:
  echo '{"fault": "F01", "target": "replica/llm-0", "parameters": {"duration_s": 30}}' |
    python agent.pyz run {option} FILE --state-dir /var/lib/rcalab/chaos/state

exit codes:
  0 effective (a sham: no effect was seen), 1 failed, 2 refused before anything was touched,
  3 not effective, 4 aborted, 5 contaminated; 0 and 3 to 5 print the ground truth as JSON"""


@dataclass(frozen=True)
class Platform:
    """What one platform has otherwise than another.

    Attributes
    ----------
    catalogue
        The package of its faults.
    option, meaning
        The option that names the file which describes the lab, and what its help says.
    find_target
        Looks a spec's target up in that file; raises `RefusedError`.
    components
        Return what may be a target in that lab, each with what keeps it from being one now, None
        for nothing; raises `RefusedError`.
    """

    catalogue: ModuleType
    option: str
    meaning: str
    find_target: Callable[[Path, Spec], Target]
    components: Callable[[Path], Mapping[str, str | None]]


def _find_on_host(path: Path, spec: Spec) -> Target:
    lab = load_lab(path)
    check_allowed(lab.deny, spec.fault, spec.target)
    return Target(lab.find(spec.target), socket.gethostname(), lab)


def _components_on_host(path: Path) -> dict[str, str | None]:
    lab = load_lab(path)
    names = [*(pod.component for pod in lab.pods), *(part.component for part in lab.parts)]
    return dict.fromkeys(names)


HOST = Platform(catalogue, "--pods", "the lab's pods.json", _find_on_host, _components_on_host)


def _run(options: argparse.Namespace) -> int:
    platform: Platform = options.platform
    text = sys.stdin.read() if options.spec == "-" else Path(options.spec).read_text("utf-8")
    spec = Spec.parse(text)
    fault_class = registry.find(spec.fault, platform.catalogue)
    results = None if options.truth is None else options.truth.absolute().parent
    target = replace(platform.find_target(options.lab, spec), results=results)
    fault = fault_class.of(target, spec.parameters)
    if fault.needs_confirmation and spec.confirm != spec.target:
        raise RefusedError(
            f"{spec.fault} acts on more than one pod: name its target once more as confirm, "
            f"{spec.target}"
        )
    state = StateDir(options.state_dir)
    telling = Telling(options.truth, options.events, spec.guard)
    if options.check:
        check(fault, state, telling)
        return 0
    parent = None if options.parent is None else processes.identify(options.parent)
    if options.parent is not None and parent is None:
        raise RefusedError(f"the process {options.parent} that asks for the fault is gone")
    runner = Runner(
        fault,
        state,
        agent=Path(sys.argv[0]).resolve(),
        telling=telling,
        parent=parent,
    )
    truth = runner.run()
    _print_json(truth.to_json())
    return OUTCOME_CODES[str(truth.outcome)]


def _put_back(options: argparse.Namespace) -> int:
    state = StateDir(options.state_dir)
    window, undo = state.window(options.window), Undo.read(options.undo)
    watchdog.put_back(state, window, undo, options.reason, options.retry_s)
    return 0


def _revert(options: argparse.Namespace) -> int:
    _print_json({"reverted": recovery.revert_all(StateDir(options.state_dir))})
    return 0


def _list(options: argparse.Namespace) -> int:
    faults = registry.faults(options.platform.catalogue).values()
    formats = {"json": as_json, "markdown": as_markdown, "text": as_text}
    sys.stdout.write(formats[options.format](faults))
    return 0


def _components(options: argparse.Namespace) -> int:
    _print_json(options.platform.components(options.lab))
    return 0


def _status(options: argparse.Namespace) -> int:
    state = StateDir(options.state_dir)
    active = lock.holder(state)
    _print_json(
        {
            "active": None if active is None else active["window"],
            "to_undo": [window.id for window in state.pending()],
        }
    )
    return 0


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def _absolute(text: str) -> Path:
    return Path(text).absolute()  # the watchdog has another working directory


def _parser(platform: Platform) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agent.pyz",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str,
        call: Callable[[argparse.Namespace], int],
        text: str,
        *,
        state: bool,
        epilog: str = "",
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if state:
            sub.add_argument(
                "--state-dir",
                type=_absolute,
                required=True,
                help="journal, lock and undo of this lab",
            )
        sub.set_defaults(call=call, platform=platform)
        return sub

    epilog = _RUN_EPILOG.replace("{option}", platform.option)
    run = command("run", _run, "Do one fault, and wait for its end.", state=True, epilog=epilog)
    components = command("components", _components, "Show what may be a target.", state=False)
    for sub in (run, components):
        sub.add_argument(
            platform.option,
            dest="lab",
            metavar="FILE",
            type=Path,
            required=True,
            help=platform.meaning,
        )
    run.add_argument("--spec", default="-", help="file with the spec as JSON (default: stdin)")
    run.add_argument("--truth", type=Path, help="where to write ground_truth.json")
    run.add_argument("--events", type=Path, help="where to tell loadgen the window's start and end")
    run.add_argument("--check", action="store_true", help="preflight only: never injects")
    run.add_argument("--parent", type=int, help="a process whose death ends the fault")

    back = command(
        "put-back", _put_back, "Undo a window's fault (started by its watchdog).", state=True
    )
    back.add_argument("--window", required=True, help="the window's name")
    back.add_argument("--undo", type=Path, required=True, help="file with its undo")
    back.add_argument("--reason", required=True, help="one sentence, for the ground truth")
    back.add_argument("--retry-s", type=float, required=True, help="try it for so many seconds")

    command("revert", _revert, "Undo whatever is left, and end an active fault.", state=True)
    command("status", _status, "Show what is active, and what is left to undo.", state=True)
    listing = command("list", _list, "Show the catalogue.", state=False)
    listing.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    return parser


def main(arguments: Sequence[str] | None = None, platform: Platform = HOST) -> int:
    """Run a command and return its exit code."""
    options = _parser(platform).parse_args(arguments)
    try:
        return int(options.call(options))
    except RefusedError as error:
        sys.stderr.write(f"refused: {error}\n")
        return REFUSED
    except (FaultError, OSError) as error:
        sys.stderr.write(f"failed: {error}\n")
        return FAILED
