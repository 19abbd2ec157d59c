# SPDX-License-Identifier: Apache-2.0
"""A server in a process of its own, known by the kubeconfig that it wrote."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

_ROOT = Path(__file__).resolve().parents[2]
_MODULE = "tests.fake_kubernetes"
# How long a server may take to end its watches.
_PATIENCE_S = 10


def _beside(kubeconfig: Path, suffix: str) -> Path:
    return kubeconfig.with_name(kubeconfig.name + suffix)


def launch(kubeconfig: Path, arguments: list[str]) -> str:
    """Start a server and return its address once it answers.

    Raises
    ------
    SystemExit
        If it ends instead; its log says why.
    """
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    log = _beside(kubeconfig, ".log")
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, *arguments],
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    if not address:
        raise SystemExit(f"the fake server did not start: {log.read_text(encoding='utf-8')}")
    _beside(kubeconfig, ".pid").write_text(f"{process.pid}\n", encoding="utf-8")
    return address


def stop(kubeconfig: Path) -> None:
    """End the server that wrote a kubeconfig; do nothing where there is none."""
    pid_file = _beside(kubeconfig, ".pid")
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text(encoding="utf-8"))
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        handle = None
    if handle is not None:
        try:
            # The id may be another process's by now.
            if _MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                ended, _, _ = select.select([handle], [], [], _PATIENCE_S)
                if not ended:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
    if kubeconfig.exists():
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        _forget(config["clusters"][0]["cluster"]["server"])
    for path in (_beside(kubeconfig, ".pid"), _beside(kubeconfig, ".log"), kubeconfig):
        path.unlink(missing_ok=True)


def _forget(url: str) -> None:
    """Remove what kubernetes.core has noted of a server: the next one on its port has other kinds.

    The note's name is that of its module_utils/client/discovery.py.
    """
    # root has no part in it, and there is no login name without a terminal.
    owners = ["", f"-{os.getuid()}"]
    with contextlib.suppress(OSError):
        owners.append(f"-{os.getlogin()}")
    for owner in owners:
        digest = hashlib.sha256(f"{url}{owner}".encode()).hexdigest()
        (Path(tempfile.gettempdir()) / f"k8srcp-{digest}.json").unlink(missing_ok=True)
