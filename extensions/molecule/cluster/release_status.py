# SPDX-License-Identifier: Apache-2.0
"""Leave a release as a helm that was stopped leaves it: KUBECTL KUBECONFIG STATUS."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys

SELECTOR = "owner=helm,name=first"


def main(kubectl: str, kubeconfig: str, status: str) -> None:
    """Write the status into the newest revision of the release `first`."""
    command = [kubectl, f"--kubeconfig={kubeconfig}", "--namespace=shared"]
    listed = subprocess.run(
        [*command, "get", "secrets", f"--selector={SELECTOR}", "--output=json"],
        check=True,
        capture_output=True,
    )
    secrets = json.loads(listed.stdout)["items"]
    secret = max(secrets, key=lambda item: int(item["metadata"]["labels"]["version"]))
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    release = json.loads(gzip.decompress(packed))
    release["info"]["status"] = status
    packed = gzip.compress(json.dumps(release).encode())
    secret["data"]["release"] = base64.b64encode(base64.b64encode(packed)).decode()
    secret["metadata"]["labels"]["status"] = status
    changed = json.dumps(secret).encode()
    subprocess.run([*command, "replace", "--filename=-"], input=changed, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
