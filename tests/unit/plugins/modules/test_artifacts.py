# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts come whole or not at all, and stay what they were the first time."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rcalab.llm.plugins.modules import artifacts

Run = Callable[..., dict[str, Any]]
K3S = bytes(range(256)) * 5000
HELM = b"#!/bin/sh\nexit 0\n"
CHART = b"a chart"
INDEX = f"""
entries:
  demo:
    - {{version: 1.1.0, urls: [demo-1.1.0.tgz], digest: {"0" * 64}}}
    - {{version: 1.0.0, urls: [demo-1.0.0.tgz], digest: {hashlib.sha256(CHART).hexdigest()}}}
"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def helm_archive() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("linux-amd64/helm")
        info.size = len(HELM)
        tar.addfile(info, io.BytesIO(HELM))
    return archive.getvalue()


class Publisher(http.server.ThreadingHTTPServer):
    """Serves `files`; cuts an answer off after `cut` bytes; knows ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.asked: list[tuple[str, str | None]] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        tag = f'"{sha256(content)}"'
        span = self.headers.get("Range") if self.headers.get("If-Range") == tag else None
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        self.send_response(206 if span else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.cut])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher() as server:
        server.files = {
            "/v1.2.3%2Bk3s1/k3s": K3S,
            "/v1.2.3%2Bk3s1/images-amd64.tar.zst": b"images",
            "/v1.2.3%2Bk3s1/sums.txt": (
                f"{sha256(K3S)}  k3s\n{sha256(b'images')}  images-amd64.tar.zst\n"
            ).encode(),
            "/helm.tar.gz": helm_archive(),
            "/helm.tar.gz.sha256sum": f"{sha256(helm_archive())}  helm.tar.gz\n".encode(),
            "/crds.yaml": b"kind: CustomResourceDefinition\n",
            "/charts/demo-1.0.0.tgz": CHART,
            "/charts/index.yaml": INDEX.encode(),
        }
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def pins(publisher: Publisher) -> dict[str, Any]:
    base = publisher.base
    return {
        "binaries": {
            "k3s": {
                "version": "v1.2.3+k3s1",
                "url": {"amd64": f"{base}/{{version}}/k3s"},
                "checksums": f"{base}/{{version}}/sums.txt",
                "archives": [f"{base}/{{version}}/images-{{arch}}.tar.zst"],
            },
            "helm": {
                "version": "v4.0.0",
                "url": f"{base}/helm.tar.gz",
                "checksums": f"{base}/helm.tar.gz.sha256sum",
                "member": "linux-{arch}/helm",
            },
        },
        "definitions": {"crds": {"version": "v1", "url": f"{base}/crds.yaml"}},
        "charts": {"demo": {"version": "1.0.0", "repository": f"{base}/charts"}},
    }


@pytest.fixture
def run(tmp_path: Path, pins: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> Run:
    def call(action: str, **options: object) -> dict[str, Any]:
        arguments = {"action": action, "dir": str(tmp_path / "kept"), "pins": pins, **options}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            artifacts.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a program of a test's own on the path."""

    def write(name: str, script: str) -> Path:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh -e\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return program

    return write


def test_what_is_fetched_is_there_recorded_and_not_fetched_again(
    run: Run, publisher: Publisher, tmp_path: Path
) -> None:
    first = run("fetch")
    asked = len(publisher.asked)
    second = run("fetch")

    assert first["changed"]
    assert not second["changed"]
    assert len(publisher.asked) == asked
    kept = tmp_path / "kept"
    assert (kept / "binaries/k3s-v1.2.3+k3s1").read_bytes() == K3S
    assert (kept / "binaries/helm-v4.0.0").read_bytes() == HELM
    assert (kept / "binaries/helm-v4.0.0").stat().st_mode & 0o111
    assert (kept / "images/k3s-v1.2.3+k3s1/images-amd64.tar.zst").read_bytes() == b"images"
    assert (kept / "charts/demo-1.0.0.tgz").read_bytes() == CHART
    lock = json.loads((kept / "artifacts.lock").read_text())["files"]
    assert lock["binaries/k3s-v1.2.3+k3s1"]["sha256"] == sha256(K3S)
    assert {name: entry["witness"] for name, entry in lock.items()} == {
        "binaries/helm-v4.0.0": "archive",
        "binaries/helm-v4.0.0.tar.gz": "publisher",
        "binaries/k3s-v1.2.3+k3s1": "publisher",
        "charts/demo-1.0.0.tgz": "publisher",
        "definitions/crds-v1.yaml": "first fetch",
        "images/k3s-v1.2.3+k3s1/images-amd64.tar.zst": "publisher",
    }


def test_a_list_names_every_url_and_asks_nobody(run: Run, publisher: Publisher) -> None:
    listed = run("list")["artifacts"]

    assert publisher.asked == []
    assert [artifact["reference"].removeprefix(publisher.base) for artifact in listed] == [
        "/helm.tar.gz",
        "/v1.2.3%2Bk3s1/k3s",
        "/v1.2.3%2Bk3s1/images-amd64.tar.zst",
        "/crds.yaml",
        "/charts/index.yaml#demo-1.0.0",
    ]


def test_a_mirror_keeps_host_and_path_and_a_registry_stands_in_for_the_host(run: Run) -> None:
    listed = run(
        "list",
        pins={
            "binaries": {"k3s": {"version": "v1", "url": "https://example.com/{version}/k3s"}},
            "charts": {
                "a": {"version": "1", "repository": "oci://ghcr.example.com/charts"},
                "b": {"version": "1", "repository": "https://charts.example.com"},
            },
            "images": {"i": {"repository": "docker.io/library/i", "tag": "1"}},
        },
        files_base="https://mirror.example.net/files",
        charts_base="https://mirror.example.net/charts/",
        registry_host="registry.example.net:5000",
    )["artifacts"]

    assert [artifact["reference"] for artifact in listed] == [
        "https://mirror.example.net/files/example.com/v1/k3s",
        "oci://registry.example.net:5000/charts/a:1",
        "https://mirror.example.net/charts/charts.example.com/index.yaml#b-1",
        "registry.example.net:5000/library/i:1",
    ]


def test_one_missing_file_is_named_and_the_others_are_kept(
    run: Run, publisher: Publisher, tmp_path: Path
) -> None:
    del publisher.files["/crds.yaml"]

    failed = run("fetch")

    assert failed["failed"]
    assert "/crds.yaml: HTTP Error 404" in failed["msg"]
    assert (tmp_path / "kept/charts/demo-1.0.0.tgz").is_file()
    assert not list((tmp_path / "kept/definitions").glob("*.yaml"))


def test_a_download_that_is_cut_off_goes_on_from_there(
    run: Run, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.cut = 1_000
    failed = run("fetch", only=["k3s"])
    assert "bytes early, 4 times; run this again to go on from there" in failed["msg"]
    assert not (tmp_path / "kept/binaries/k3s-v1.2.3+k3s1").exists()

    publisher.cut = None
    publisher.asked.clear()
    assert run("fetch", only=["k3s"])["changed"]
    assert ("/v1.2.3%2Bk3s1/k3s", "bytes=4000-") in publisher.asked
    assert (tmp_path / "kept/binaries/k3s-v1.2.3+k3s1").read_bytes() == K3S


def test_halves_of_two_files_are_not_put_together(
    run: Run, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.cut = 5
    run("fetch", only=["crds"])
    publisher.files["/crds.yaml"] = b"kind: Another\n"
    publisher.cut = None
    run("fetch", only=["crds"])

    assert (tmp_path / "kept/definitions/crds-v1.yaml").read_bytes() == b"kind: Another\n"


def test_a_file_that_its_publisher_contradicts_is_not_kept(
    run: Run, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.files["/v1.2.3%2Bk3s1/k3s"] = b"something else"

    failed = run("fetch", only=["k3s"])["msg"]

    assert "binaries/k3s-v1.2.3+k3s1: its publisher's list expects sha256" in failed
    assert sha256(K3S) in failed
    assert sha256(b"something else") in failed
    assert not (tmp_path / "kept/binaries").exists() or not list(
        (tmp_path / "kept/binaries").iterdir()
    )


def test_a_list_without_the_file_is_refused(run: Run, publisher: Publisher) -> None:
    publisher.files["/v1.2.3%2Bk3s1/sums.txt"] = f"{sha256(K3S)}  another\n".encode()

    assert "has no checksum of k3s" in run("fetch", only=["k3s"])["msg"]


@pytest.mark.parametrize("action", ["fetch", "verify"])
def test_a_file_that_was_changed_is_found(action: str, run: Run, tmp_path: Path) -> None:
    run("fetch")
    changed = tmp_path / "kept/charts/demo-1.0.0.tgz"
    changed.write_bytes(b"not it")

    failed = run(action)["msg"]

    assert f"charts/demo-1.0.0.tgz: {tmp_path}/kept/artifacts.lock expects sha256" in failed
    assert sha256(CHART) in failed
    assert sha256(b"not it") in failed


def test_a_lock_that_a_lab_keeps_holds_in_another_folder(
    run: Run, publisher: Publisher, tmp_path: Path
) -> None:
    lock = str(tmp_path / "kept.lock")
    run("fetch", lock=lock, only=["crds"])
    publisher.files["/crds.yaml"] = b"kind: Replaced\n"

    failed = run("fetch", lock=lock, only=["crds"], dir=str(tmp_path / "another"))

    assert "definitions/crds-v1.yaml" in failed["msg"]
    assert "or its publisher replaced it" in failed["msg"]
    assert not (tmp_path / "another/definitions/crds-v1.yaml").exists()


def test_verify_needs_no_network_and_names_all_that_is_missing(
    run: Run, publisher: Publisher, tmp_path: Path
) -> None:
    run("fetch")
    publisher.asked.clear()
    assert not run("verify")["changed"]
    (tmp_path / "kept/binaries/helm-v4.0.0").unlink()
    (tmp_path / "kept/definitions/crds-v1.yaml").unlink()

    failed = run("verify")["msg"]

    assert failed == (
        f"missing in {tmp_path}/kept, fetch where there is a network:"
        " binaries/helm-v4.0.0, definitions/crds-v1.yaml"
    )
    assert publisher.asked == []


def test_check_mode_asks_nobody_and_writes_nothing(
    run: Run, publisher: Publisher, tmp_path: Path
) -> None:
    result = run("fetch", _ansible_check_mode=True)

    assert result["changed"]
    assert "charts/demo-1.0.0.tgz" in result["fetched"]
    assert publisher.asked == []
    assert not (tmp_path / "kept").exists()


def test_a_chart_in_a_registry_is_pulled_by_helm(
    run: Run, scripted: Callable[[str, str], Path], tmp_path: Path
) -> None:
    scripted("helm", f'echo "$@" > {tmp_path}/asked; printf pulled > "$6/base-1.30.3.tgz"')
    chart = {"version": "1.30.3", "repository": "oci://r.example.com/charts", "chart": "base"}

    run("fetch", pins={"charts": {"istio-base": chart}})

    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("pull oci://r.example.com/charts/base --version 1.30.3 --destination ")
    assert (tmp_path / "kept/charts/istio-base-1.30.3.tgz").read_bytes() == b"pulled"


def test_what_helm_says_is_passed_on(run: Run, scripted: Callable[[str, str], Path]) -> None:
    scripted("helm", "echo 'no such chart' >&2; exit 1")
    chart = {"version": "1", "repository": "oci://r.example.com/charts"}

    failed = run("fetch", pins={"charts": {"demo": chart}})["msg"]

    assert "helm pull oci://r.example.com/charts/demo" in failed
    assert "no such chart" in failed


def test_a_host_without_helm_gets_what_needs_none(
    run: Run, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    pins = {
        "definitions": {"crds": {"version": "v1", "url": f"{publisher.base}/crds.yaml"}},
        "charts": {"demo": {"version": "1", "repository": "oci://r.example.com/charts"}},
    }

    failed = run("fetch", pins=pins)["msg"]

    assert failed.startswith("helm pull oci://r.example.com/charts/demo --version 1 ")
    assert "helm can't be run" in failed
    assert (tmp_path / "kept/definitions/crds-v1.yaml").is_file()


IMAGE = {"images": {"i": {"repository": "r.example.com/i", "tag": "1"}}}
SKOPEO = """
case $1 in
  inspect) echo sha256:{digest} ;;
  copy) eval "last=\\${{$#}}"; archive=${{last#docker-archive:}}; printf image > ${{archive%%:*}} ;;
esac
"""


def test_an_image_is_held_to_the_registrys_digest(
    run: Run, scripted: Callable[[str, str], Path], tmp_path: Path
) -> None:
    scripted("skopeo", SKOPEO.format(digest="a" * 64))
    assert run("fetch", pins=IMAGE)["artifacts"][0]["sha256"] == "a" * 64
    assert not run("verify", pins=IMAGE)["changed"]
    archive = tmp_path / "kept/images/i-1-amd64.tar"

    archive.write_bytes(b"changed")
    assert "i-1-amd64.tar.sha256 expects" in run("verify", pins=IMAGE)["msg"]

    archive.unlink()
    scripted("skopeo", SKOPEO.format(digest="b" * 64))
    assert f"expects sha256 {'a' * 64}, found {'b' * 64}" in run("fetch", pins=IMAGE)["msg"]
    assert not archive.exists()


def test_a_host_without_a_tool_for_images_says_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "install one of skopeo, crane, podman, docker" in run("fetch", pins=IMAGE)["msg"]
    assert run("fetch", pins=IMAGE, images=False)["artifacts"] == []


@pytest.mark.parametrize(
    ("pins", "says"),
    [
        ({"chart": {}}, "chart is no section of the pins"),
        ({"charts": {"a": {"repository": "oci://x/y"}}}, "charts.a has no version"),
        ({"images": {"a": {"repository": "x/a", "tag": "latest"}}}, "'latest' is no version"),
    ],
)
def test_pins_that_do_not_pin_are_refused(pins: dict[str, Any], says: str, run: Run) -> None:
    assert says in run("list", pins=pins)["msg"]


def test_a_name_that_nothing_has_is_refused(run: Run) -> None:
    assert "nothing is pinned by the name k4s" in run("list", only=["k4s"])["msg"]
