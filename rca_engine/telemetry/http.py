# SPDX-License-Identifier: Apache-2.0
"""One server asked over HTTP: bounded retries under one deadline, and a record of each request.

What a server may never do is hold a harvest up: every attempt, every pause between attempts and
every read of a slow body ends at the deadline that all requests of a source share.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util.retry import Retry

from rca_engine.errors import TelemetryError

_log = logging.getLogger(__name__)

REQUEST_S = 15.0
"""Longest silence while waiting for one answer."""
_ATTEMPTS = 4
_AGAIN = (429, 502, 503, 504)
"""Statuses that may pass: too many requests, and what proxies say while a server restarts."""
_PIECE = 1 << 16

_WORKERS = 2
"""Requests at once: a server makes the next answer while the last one is decoded."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Progress = Callable[[str], None]
"""Told in a few words how far a source is."""


def silent(_text: str) -> None:
    """Show no progress."""


def side_by_side(
    ask: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int = _WORKERS
) -> Iterator[_Result]:
    """Yield ``ask`` of each item, in their order, several at once; the first error ends it all."""
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(ask, item) for item in items]
        try:
            while waiting:
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class Deadline:
    """A moment that all requests of a source share."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds until it; not below zero."""
        return max(0.0, self._end - time.monotonic())


@dataclass(frozen=True)
class Endpoint:
    """Where a source is and how to be let in.

    Parameters
    ----------
    url
        Root of the server, as reached from here: a port-forward, a NodePort, the API's proxy.
    token_file, token_env
        A bearer token's file or environment variable; its value is never kept nor shown.
    tenant
        For ``X-Scope-OrgID``.
    ca_file
        Certificates to trust in place of the system's.
    """

    url: str
    token_file: Path | None = None
    token_env: str | None = None
    tenant: str | None = None
    ca_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that let a request in.

        Raises
        ------
        TelemetryError
            If the token's file or variable can't be read or is empty.
        """
        headers = {} if self.tenant is None else {"X-Scope-OrgID": self.tenant}
        token = self._token()
        return headers if token is None else {**headers, "Authorization": f"Bearer {token}"}

    def _token(self) -> str | None:
        if self.token_file is None and self.token_env is None:
            return None
        if self.token_env is not None:
            token, where = os.environ.get(self.token_env, ""), f"variable {self.token_env}"
        else:
            where = str(self.token_file)
            try:
                token = Path(where).expanduser().read_text(encoding="utf-8")
            except OSError as error:
                raise TelemetryError(f"{where}: token can't be read: {error.strerror}") from None
        if not token.strip():
            raise TelemetryError(f"{self.url}: the token ({where}) is empty or not set")
        return token.strip()


@dataclass(frozen=True)
class Answer:
    """What came back: ``status`` and the whole ``body``."""

    status: int
    body: bytes

    def text(self) -> str:
        """Return the first line of the body, for messages."""
        lines = self.body.decode("utf-8", errors="replace").strip().splitlines()
        return lines[0][:300] if lines else "(no text)"


@dataclass
class Connection:
    """A session with one server that notes each request in ``asked``."""

    endpoint: Endpoint
    deadline: Deadline
    source: str
    """What the server is, for messages: ``Loki``."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    session: requests.Session = field(init=False)

    def __post_init__(self) -> None:
        self.url = self.endpoint.url.rstrip("/")
        self._mine = threading.local()
        session = _Session()
        session.deadline = self.deadline
        self.session = session
        self.retry = _Retry(
            total=_ATTEMPTS - 1,
            backoff_factor=0.3,
            status_forcelist=_AGAIN,
            # All requests only read, those by POST too.
            allowed_methods=None,
            raise_on_status=False,
        )
        self.retry.deadline = self.deadline
        # Compression costs both ends more than it saves over a port-forward: 4 s in 5 for samples.
        self.session.headers.update({**self.endpoint.headers(), "Accept-Encoding": "identity"})
        # Else a ~/.netrc that names the host would take the token's place.
        self.session.auth = _as_it_is
        if self.endpoint.ca_file is not None:
            self.session.verify = str(Path(self.endpoint.ca_file).expanduser())
        self.session.mount(self.url, HTTPAdapter(max_retries=self.retry, pool_maxsize=8))
        # Bodies are read below, piece by piece: a server that drips must not outlast the deadline.
        self.session.stream = True
        self.session.hooks["response"].append(self._read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.session.close()

    def get(self, path: str, params: Mapping[str, Any], *, note: str) -> Answer:
        """Ask by GET; ``note`` stands for the request in the manifest."""
        return self._ask("GET", path, note, params=params)

    def post(self, path: str, form: Mapping[str, Any], *, note: str) -> Answer:
        """Ask by POST of a form."""
        return self._ask("POST", path, note, data=form)

    def json(self, answer: Answer) -> Any:
        """Decode a good answer.

        Raises
        ------
        TelemetryError
            If its status is not 200 or its body is no JSON.
        """
        if answer.status != 200:
            raise TelemetryError(
                f"{self.url}: {self.source} refused ({answer.status}): {answer.text()}"
            )
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise TelemetryError(
                f"{self.url}: not an answer of {self.source}: {error}: {answer.text()}"
            ) from None

    def rows(self, count: int) -> None:
        """Note how many rows this thread's last request gave."""
        self._mine.record["rows"] = count

    def note(self, query: str) -> None:
        """Say in the manifest what this thread's last request asked."""
        self._mine.record["query"] = query

    def timeout_s(self) -> float:
        """Return the longest silence to accept now.

        Raises
        ------
        TelemetryError
            If the deadline has passed.
        """
        left_s = self.deadline.left_s
        if left_s <= 0:
            raise self._late()
        return min(REQUEST_S, left_s)

    def unreachable(self, error: requests.RequestException) -> TelemetryError:
        """Return what to raise for a request that got no answer."""
        if self.deadline.left_s <= 0:
            return self._late()
        return TelemetryError(
            f"{self.url}: {self.source} can't be reached ({_innermost(error)}); "
            f"is the lab up, and is this its address?"
        )

    def _late(self) -> TelemetryError:
        return TelemetryError(
            f"{self.url}: {self.source} took too long ({self.deadline.seconds:.3g} s were left for "
            f"its requests); narrow the window or allow more"
        )

    def _ask(self, method: str, path: str, note: str, **arguments: Any) -> Answer:
        try:
            response = self.session.request(
                method, self.url + path, timeout=self.timeout_s(), **arguments
            )
        except requests.RequestException as error:
            raise self.unreachable(error) from None
        self.note(note)
        return Answer(response.status_code, response.content)

    def _read(self, response: requests.Response, *_args: Any, **_options: Any) -> None:
        """Read the body before the deadline, and note the request."""
        pieces = []
        while True:
            try:
                # What has come, however little: to wait for a full piece is to wait for who drips.
                piece = response.raw.read1(_PIECE, decode_content=True)
            except (HTTPError, OSError) as error:
                raise _BodyLostError(error) from error
            if not piece:
                break
            pieces.append(piece)
            if self.deadline.left_s <= 0:
                raise _BodyLostError("the deadline passed while the answer came")
        # What `response.content` returns from now on.
        response._content = b"".join(pieces)
        self._mine.record = {
            "query": response.request.path_url,
            "rows": 0,
            "status": response.status_code,
            "bytes": len(response.content),
            "seconds": round(response.elapsed.total_seconds(), 3),
        }
        self.asked.append(self._mine.record)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _BodyLostError(requests.RequestException):
    """The answer began and did not end, which urllib3's retries do not see."""


class _Session(requests.Session):
    """Asks again where an answer broke off."""

    deadline = Deadline(float("inf"))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return super().send(request, **options)
            except _BodyLostError as error:
                if attempt == _ATTEMPTS or self.deadline.left_s <= 0:
                    raise
                _log.info("asking again: %s", error)
        raise AssertionError("the last attempt returns or raises")


class _Retry(Retry):
    """Tries again, but not after the deadline."""

    deadline = Deadline(float("inf"))

    def new(self, **changes: Any) -> Self:
        other = super().new(**changes)
        other.deadline = self.deadline
        return other

    def get_retry_after(self, response: Any) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, self.deadline.left_s)

    def get_backoff_time(self) -> float:
        return min(super().get_backoff_time(), self.deadline.left_s)

    def increment(self, *args: Any, **options: Any) -> Self:
        if self.deadline.left_s <= 0:
            error = options.get("error")
            raise MaxRetryError(options.get("_pool"), "", error)  # type: ignore[arg-type]
        _log.info("asking again: %s", options.get("error") or "the server was busy")
        return super().increment(*args, **options)


def _innermost(error: requests.RequestException) -> str:
    """Return the innermost cause, which says more than the chain around it."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return f"{type(cause).__name__}: {cause}"
