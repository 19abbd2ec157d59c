# SPDX-License-Identifier: Apache-2.0
"""One HTTP request: whose it is, what it asks for, how it is answered."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

from . import discovery, errors, protobuf, proxies, subresources, verbs
from .errors import ApiError
from .kinds import Kind
from .lists import list_objects, watch
from .script import ScriptError
from .verbs import Options

if TYPE_CHECKING:
    from .server import FakeKubernetes

_VERB_OF = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Target:
    """What a path leads to."""

    kind: Kind
    namespace: str
    name: str
    subresource: str


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    fake: ClassVar[FakeKubernetes]
    protocol_version = "HTTP/1.1"
    # A small answer goes out at once, not when the next one comes.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing: the log is for what goes wrong."""

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server calls them by these names

    def _answer(self) -> None:
        try:
            # Read in any case, or the next request would begin with it.
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            self._path, self._query = url.path, dict(parse_qsl(url.query))
            self._dispatch(body)
        except ApiError as error:
            self._send(error.code, error.status())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as error:
            traceback.print_exc()
            self._send(500, ApiError(500, f"the fake server broke: {error!r}").status())

    def _dispatch(self, body: bytes) -> None:
        if self._path in ("/healthz", "/livez", "/readyz"):
            self._send_text("ok")
            return
        self._check_token()
        if self._path.startswith("/fake/"):
            self._own_matters(body)
            return
        cluster = self.fake.cluster
        if self.command == "GET":
            with cluster.storage.lock:
                found = discovery.of_path(cluster.kinds, self._path, f"127.0.0.1:{self.fake.port}")
            if found is not None:
                self._send(200, found)
                return
        if self.command == "GET" and self._pass_on():
            return
        if self.command == "POST" and (asked := discovery.review_at(self._path)):
            self._send(201, subresources.review(asked))
            return
        self._resource(body)

    def _pass_on(self) -> bool:
        """Answer for what is behind the API server, if the path leads there."""
        cluster = self.fake.cluster
        with cluster.storage.lock:
            cluster.settle()
            passed = proxies.answer(cluster, self._path)
        if passed is None:
            return False
        time.sleep(passed.delay_s)
        self._send_bytes(passed.status, passed.media_type, passed.content, passed.date)
        return True

    def _check_token(self) -> None:
        sent = self.headers.get("Authorization")
        # helm and kubectl send no token where there is no TLS: those are let in without.
        if sent is None and not self.fake.uses_tls:
            return
        if sent != f"Bearer {self.fake.token}":
            raise ApiError(401, "Unauthorized")

    def _own_matters(self, body: bytes) -> None:
        """Answer what only this server knows: its list of objects, its script."""
        if (self.command, self._path) == ("GET", "/fake/objects"):
            self._send(200, {"objects": self.fake.objects()})
        elif (self.command, self._path) == ("PUT", "/fake/script"):
            try:
                self.fake.follow(yaml.safe_load(body))
            except ScriptError as error:
                raise ApiError(400, str(error)) from error
            self._send(200, {})
        else:
            raise errors.no_such_path()

    # Objects

    def _target(self) -> Target:
        parts = [unquote(part) for part in self._path.split("/") if part]
        if parts[:1] == ["api"] and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[:1] == ["apis"] and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            raise errors.no_such_path()
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource, *more = [*rest, "", ""]
        kind = self.fake.cluster.kinds.at(group, version, plural)
        if any(more) or (name and kind.namespaced != bool(namespace)):
            raise errors.no_such_path()
        return Target(kind, namespace, name, subresource)

    def _resource(self, body: bytes) -> None:
        cluster = self.fake.cluster
        with cluster.storage.lock:
            target = self._target()
        verb = self._verb(target)
        self._suffer(verb, target)
        if verb == "watch":
            self._watch(target)
            return
        with cluster.storage.lock:
            cluster.settle()
            code, answer = self._act(verb, target, body)
            cluster.settle()
        if target.subresource == "log":
            self._send_text(answer["text"])
            return
        self._send(code, answer)

    def _verb(self, target: Target) -> str:
        if self.command != "GET":
            return _VERB_OF[self.command]
        if self._query.get("watch") in ("1", "true") and not target.subresource:
            if target.name:
                self._query["fieldSelector"] = f"metadata.name={target.name}"
            return "watch"
        return "get" if target.name else "list"

    def _suffer(self, verb: str, target: Target) -> None:
        delay_s, code = self.fake.script.fate(verb, target.kind.name, target.namespace, target.name)
        time.sleep(delay_s)
        if code:
            raise ApiError(code, f"the script answers {code} to {verb} {target.kind.plural}")

    def _act(self, verb: str, target: Target, body: bytes) -> tuple[int, dict[str, Any]]:
        cluster, kind = self.fake.cluster, target.kind
        at = (cluster, kind, target.namespace)
        if target.subresource not in ("", "status"):
            parsed = self._object(body) if body else {}
            return subresources.act(
                cluster, kind, target.namespace, target.name, target.subresource, verb, parsed
            )
        if target.subresource == "status" and not kind.has_status:
            raise errors.no_such_path()
        if verb == "list":
            return 200, list_objects(*at, self._query)
        if verb == "get":
            return 200, verbs.get(*at, target.name)
        if verb == "create" and not target.name:
            created = verbs.create(*at, self._object(body), self._options(target))
            return 201, created
        if verb == "update" and target.name:
            options = self._options(target)
            return 200, verbs.replace(*at, target.name, self._object(body), options)
        if verb == "patch" and target.name:
            media_type = self.headers.get("Content-Type", "").partition(";")[0].strip()
            options = self._options(target)
            if media_type in verbs.APPLY_PATCHES:
                options = replace(options, manager=self._query.get("fieldManager", ""))
            patched, new = verbs.patch(*at, target.name, yaml.safe_load(body), media_type, options)
            return (201 if new else 200), patched
        if verb == "delete":
            return 200, self._delete(target, body)
        raise ApiError(405, "the server does not allow this method on the requested resource")

    def _delete(self, target: Target, body: bytes) -> dict[str, Any]:
        cluster = self.fake.cluster
        options = self._object(body) if body else {}
        options.setdefault("propagationPolicy", self._query.get("propagationPolicy"))
        at = (cluster, target.kind, target.namespace)
        dry_run = bool(self._query.get("dryRun"))
        if target.name:
            return verbs.delete(*at, target.name, options, dry_run)
        listed = list_objects(*at, self._query)
        for obj in listed["items"]:
            metadata = obj["metadata"]
            namespace = metadata.get("namespace", "")
            verbs.delete(cluster, target.kind, namespace, metadata["name"], options, dry_run)
        return listed

    def _options(self, target: Target) -> Options:
        agent = self.headers.get("User-Agent", "unknown").partition("/")[0]
        return Options(
            manager=self._query.get("fieldManager") or agent,
            dry_run=self._query.get("dryRun") == "All",
            strict=self._query.get("fieldValidation") == "Strict",
            force=self._query.get("force") == "true",
            subresource=target.subresource,
        )

    def _object(self, body: bytes) -> dict[str, Any]:
        if body.startswith(protobuf.MAGIC):
            return protobuf.decode(body)
        try:
            found = json.loads(body) if body.lstrip()[:1] == b"{" else yaml.safe_load(body)
        except (ValueError, yaml.YAMLError) as error:
            raise ApiError(400, f"the body cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise ApiError(400, "the body of the request is no object")
        return found

    # Answers

    def _watch(self, target: Target) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        events = watch(
            self.fake.cluster,
            target.kind,
            target.namespace or None,
            self._query,
            lambda: self.fake.stopped,
        )
        for event in events:
            if event is not None:
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, code: int, answer: dict[str, Any]) -> None:
        self._send_bytes(code, "application/json", json.dumps(answer).encode())

    def _send_text(self, text: str) -> None:
        self._send_bytes(200, "text/plain", text.encode())

    def _send_bytes(
        self, code: int, media_type: str, content: bytes, date: str | None = None
    ) -> None:
        self.send_response_only(code)
        self.send_header("Date", date or self.date_time_string())
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
