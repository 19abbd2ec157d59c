# SPDX-License-Identifier: Apache-2.0
"""Live figures for Prometheus while a run goes on, by OpenTelemetry's GenAI names where it has one.

The conventions' ``gen_ai.client.*`` count from the real send; ``loadgen_response_*`` count from the
intended time, as the summary does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from loadgen.errors import OutputError
from loadgen.outcomes import Outcome
from loadgen.profile import Profile
from loadgen.progress import Ended, Progress

# The conventions' own advice for both.
_SECONDS = [0.01 * 2**power for power in range(14)]
_TOKENS = [4.0**power for power in range(14)]


class LiveMetrics:
    """Progress that is counted for Prometheus and passed on.

    Parameters
    ----------
    inner
        Who is told too.
    profile
        Of the run: gives the labels, and what a good request is.
    registry
        Where the metrics go.
    """

    def __init__(self, inner: Progress, profile: Profile, registry: CollectorRegistry) -> None:
        self._inner, self._slo = inner, profile.slo
        chat = profile.api.endpoint == "chat"
        labels = {
            "gen_ai_operation_name": "chat" if chat else "text_completion",
            "gen_ai_provider_name": profile.provider,
            "gen_ai_request_model": profile.model,
        }

        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            made = Histogram(name, text, [*labels], buckets=buckets, registry=registry)
            return made.labels(**labels)

        self._ttft = histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "From the send to the first token",
            _SECONDS,
        )
        self._duration = histogram(
            "gen_ai_client_operation_duration_seconds", "From the send to a good end", _SECONDS
        )
        self._response_ttft = histogram(
            "loadgen_response_ttft_seconds", "From the intended time to the first token", _SECONDS
        )
        self._response = histogram(
            "loadgen_response_latency_seconds", "From the intended time to a good end", _SECONDS
        )
        self._tpot = histogram(
            "loadgen_time_per_output_token_seconds",
            "Between the tokens of an answer, in the mean",
            [bound / 10 for bound in _SECONDS],
        )
        tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a prompt and of an answer",
            [*labels, "gen_ai_token_type"],
            buckets=_TOKENS,
            registry=registry,
        )
        # By position: a linter takes a keyword that ends with `token_type` for a secret.
        self._read, self._written = (
            tokens.labels(*labels.values(), way) for way in ("input", "output")
        )
        self._sent = Counter("loadgen_requests_sent", "Requests sent", registry=registry)
        self._ended = Counter(
            "loadgen_requests_ended", "Requests that ended", ["outcome"], registry=registry
        )
        for outcome in Outcome:
            self._ended.labels(outcome=str(outcome))
        self._met = Counter("loadgen_slo_met", "Requests that kept the SLO", registry=registry)
        self._in_flight = Gauge(
            "loadgen_requests_in_flight", "Requests sent and not ended", registry=registry
        )
        self._window = Gauge(
            "loadgen_window_open", "Whether a marked window is open", ["window"], registry=registry
        )
        self._open: tuple[str, ...] = ()

    def sent(self) -> None:
        """Count a request that was sent."""
        self._sent.inc()
        self._in_flight.inc()
        self._inner.sent()

    def finished(self, record: Ended) -> None:
        """Count a request that came to its end."""
        self._in_flight.dec()
        self._ended.labels(outcome=str(record.outcome)).inc()
        success = record.outcome is Outcome.SUCCESS
        if self._slo.met(
            success=success,
            ttft_ms=record.response_ttft_ms,
            latency_ms=record.response_latency_ms,
        ):
            self._met.inc()
        for histogram, ms in (
            (self._ttft, record.service_ttft_ms),
            (self._duration, record.service_latency_ms),
            (self._response_ttft, record.response_ttft_ms),
            (self._response, record.response_latency_ms),
            (self._tpot, record.tpot_ms),
        ):
            if ms is not None:
                histogram.observe(ms / 1000)
        for histogram, tokens in (
            (self._read, record.prompt_tokens),
            (self._written, record.output_tokens),
        ):
            if tokens is not None:
                histogram.observe(tokens)
        self._inner.finished(record)

    def tick(self, elapsed_s: float, total_s: float) -> None:
        """Pass it on."""
        self._inner.tick(elapsed_s, total_s)

    def mark(self, names: Sequence[str]) -> None:
        """Show the windows that are open, and that the others no longer are."""
        for name in {*self._open, *names}:
            self._window.labels(window=name).set(name in names)
        self._open = tuple(names)
        self._inner.mark(names)

    def close(self) -> None:
        """Pass it on."""
        self._inner.close()


@contextmanager
def live_metrics(
    inner: Progress, profile: Profile, *, host: str, port: int
) -> Iterator[tuple[Progress, str]]:
    """Serve ``/metrics`` while the block runs; yield the progress to tell, and the URL.

    Parameters
    ----------
    inner, profile
        See :class:`LiveMetrics`.
    host, port
        Where to listen; port 0 is a free one.

    Raises
    ------
    OutputError
        If the address can't be bound.
    """
    registry = CollectorRegistry()
    progress = LiveMetrics(inner, profile, registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise OutputError(
            f"can't serve metrics on {host}:{port}: {error.strerror or error}"
        ) from error
    try:
        yield progress, f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
