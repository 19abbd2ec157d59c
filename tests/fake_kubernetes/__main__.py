# SPDX-License-Identifier: Apache-2.0
"""Run the fake API server: ``python -m tests.fake_kubernetes --kubeconfig FILE``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from .background import launch, stop
from .nodes import Node, NodeError
from .script import Script, ScriptError
from .server import FakeKubernetes, Tls


def _node(text: str) -> Node:
    try:
        return Node.parse(text)
    except NodeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _script(text: str) -> Script:
    try:
        return Script.from_file(Path(text))
    except (OSError, ScriptError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fake_kubernetes",
        description="A stand-in for a Kubernetes API server. Prints its address once it answers.",
    )
    parser.add_argument(
        "--kubeconfig", type=Path, required=True, help="write how to reach it here; mode 0600"
    )
    parser.add_argument(
        "--node",
        dest="nodes",
        action="append",
        type=_node,
        metavar="NAME[:KEY=VALUE,...]",
        help="a node; KEY is a resource (cpu, nvidia.com/gpu), label/KEY, taint/KEY, runtime, "
        "kernel, os or kubelet; may be given again (default: one node, node-0)",
    )
    parser.add_argument("--script", type=_script, help="what goes wrong: see script.py")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--tls-certificate", type=Path, help="for 127.0.0.1; serve HTTPS")
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument(
        "--operators-always",
        action="store_true",
        help="play custom resources even where no operator of theirs is installed",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--background",
        action="store_true",
        help="return once it answers; KUBECONFIG.pid has its process id, KUBECONFIG.log its log",
    )
    where.add_argument("--stop", action="store_true", help="end the one that --background started")
    return parser


def main(arguments: list[str]) -> int:
    """Run it until it is told to end."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.stop:
        stop(options.kubeconfig)
        return 0
    if options.background:
        rest = [argument for argument in arguments if argument != "--background"]
        sys.stdout.write(f"{launch(options.kubeconfig, rest)}\n")
        return 0
    if bool(options.tls_certificate) != bool(options.tls_key):
        parser.error("--tls-certificate and --tls-key go together")
    tls = Tls(options.tls_certificate, options.tls_key) if options.tls_key else None
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with FakeKubernetes(
        options.nodes,
        script=options.script,
        port=options.port,
        tls=tls,
        operators_always=options.operators_always,
    ) as fake:
        fake.write_kubeconfig(options.kubeconfig)
        sys.stdout.write(f"{fake.url}\n")
        sys.stdout.flush()
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
