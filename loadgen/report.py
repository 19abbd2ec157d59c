# SPDX-License-Identifier: Apache-2.0
"""A finished run in a few lines of text."""

from __future__ import annotations

from typing import Any

from loadgen.result import Result

_ROWS = (
    ("TTFT, ms", "successes", "response_ttft_ms"),
    ("latency, ms", "successes", "response_latency_ms"),
    ("TPOT, ms", "successes", "tpot_ms"),
    ("TTFT with failures, ms", "with_failures", "response_ttft_ms"),
    ("latency with failures, ms", "with_failures", "response_latency_ms"),
)


def describe(result: Result) -> str:
    """Write the main figures as a text of several lines, the last one ended.

    Times count from the intended send; a quantile that failures made infinite shows as ``inf``.
    """
    summary = result.summary
    requests, slo, audit = summary["requests"], summary["slo"], summary["audit"]
    outcomes = ", ".join(f"{name} {count}" for name, count in requests["outcomes"].items())
    lines = [
        f"{requests['scheduled']} scheduled, {requests['issued']} issued, "
        f"{requests['success']} succeeded" + (f" ({outcomes})" if outcomes else ""),
        f"{'':28}" + "".join(f"{name:>10}" for name in ("p50", "p90", "p95", "p99")),
    ]
    for label, group, name in _ROWS:
        lines.append(f"{label:28}" + _quantiles(summary[group][name], group == "with_failures"))
    breach = slo["first_breach"]
    lines += [
        f"SLO met by {slo['attainment']:.1%} of all scheduled; "
        + (f"first breach at {breach['time']}" if breach else "never breached"),
        f"run {audit['verdict']}" + "".join(f"; {reason}" for reason in audit["reasons"]),
    ]
    if summary["windows"] is not None:
        lines += map(_window, summary["windows"]["marked"])
        lines += [f"events: {problem}" for problem in summary["windows"]["problems"]]
        if not summary["windows"]["marked"]:
            lines.append(f"no window was marked in {summary['windows']['source']}")
    for each in summary.get("assertions", []):
        observed = each["observed"]
        seen = "there is no such figure" if observed is None else f"it was {_short(observed)}"
        lines.append(f"{each['assertion']}: " + ("held" if each["held"] else f"broken, {seen}"))
    if summary["interrupted"]:
        lines.append("run interrupted: what was scheduled after that counts as not met")
    lines += [str(result.requests_path), str(result.summary_path)]
    return "\n".join(lines) + "\n"


def window_words(window: dict[str, Any]) -> str:
    """Say when a window's trouble was seen, and when it was over."""
    if window["troubled_before"]:
        seen = "the SLO was broken before it"
    elif window["detected"]:
        seen = f"seen after {window['time_to_detect_s']:.1f} s"
    else:
        seen = "never seen"
    if window["recovered"]:
        seen += f", over {window['time_to_recover_s']:.1f} s after its end"
    elif window["recovered"] is not None:
        seen += ", not over by the end"
    return seen + (", broken again later" if window["relapsed"] else "")


def _window(window: dict[str, Any]) -> str:
    during = window["during"]
    share = during["availability"]
    available = "nothing due" if share is None else f"{share:.1%} available"
    return (
        f"window {window['name']}: {available}, {during['failed']} lost, {during['late']} late "
        f"of {during['due']}; {window_words(window)}"
    )


def _quantiles(values: dict[str, Any], with_failures: bool) -> str:
    unknown = "inf" if with_failures else "-"
    return "".join(f"{unknown if v is None else format(v, '.1f'):>10}" for v in values.values())


def _short(observed: float | str) -> str:
    return observed if isinstance(observed, str) else f"{observed:.4g}"
