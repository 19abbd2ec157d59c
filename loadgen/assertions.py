# SPDX-License-Identifier: Apache-2.0
"""Assertions on the figures of a run: ``p95_ttft_ms<500``, ``attainment>=99%``, ``truncated==0``.

One name, one comparison, one number with a unit; nothing is evaluated. Names are figures of the
summary (:data:`NAMES` writes them down). What is infinite, because requests failed or a service
did not recover, is larger than any number.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from loadgen.errors import ProfileError
from loadgen.outcomes import Outcome
from loadgen.stats import QUANTILES

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
# Decimals, as 95 times 0.01 is not 0.95 in binary.
_MS_UNITS = {"": Decimal(1), "ms": Decimal(1), "s": Decimal(1000)}
_S_UNITS = {"": Decimal(1), "ms": Decimal("0.001"), "s": Decimal(1)}
_SHARE_UNITS = {"": Decimal(1), "%": Decimal("0.01")}
_NO_UNITS = {"": Decimal(1)}
_LATENCIES = {
    "ttft": "response_ttft_ms",
    "latency": "response_latency_ms",
    "service_ttft": "service_ttft_ms",
    "service_latency": "service_latency_ms",
    "tpot": "tpot_ms",
    "schedule_lag": "schedule_lag_ms",
}
_COUNTS = ("scheduled", "issued", "success", "failed")
_SHARES = ("attainment", "availability", "error_rate")
_RATES = ("goodput_per_s", "output_tokens_per_s", "success_per_s")
_WINDOWS = ("time_to_detect_s", "time_to_recover_s", "lost", "window_availability")
_TEXT = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|==|<|>)\s*(\d+(?:\.\d+)?)\s*(ms|s|%)?\s*")
_INFINITE = float("inf")

NAMES = (
    f"{'|'.join(QUANTILES)} of {', '.join(_LATENCIES)} (p95_ttft_ms, or ttft_p95); "
    f"{', '.join((*_COUNTS, *_SHARES, *_RATES))}; an outcome such as truncated; "
    f"of all windows the worst {', '.join(_WINDOWS)}"
)
"""What can be asserted."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """One figure, and the bound that it must keep."""

    text: str
    name: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Assertion:
        """Read an assertion.

        Raises
        ------
        ProfileError
            If it is none, or of no figure that there is.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ProfileError(
                "an assertion is NAME, one of < <= > >= ==, and a number with ms, s or %, such as "
                f"p95_ttft_ms<500 or attainment>=99%; got {text!r}"
            )
        name = _name(match[1])
        units = _units(name)
        unit = match[4] or ""
        if unit not in units:
            allowed = ", ".join(each for each in units if each) or "no unit"
            raise ProfileError(f"{match[1]} takes {allowed}, got {unit!r} in {text!r}")
        bound = float(Decimal(match[3]) * units[unit])
        return cls(text.strip(), name, match[2], bound)

    def check(self, summary: Mapping[str, Any]) -> Checked:
        """Hold it against a summary; a figure that is not there is not kept."""
        observed = _figure(self.name, summary)
        held = observed is not None and _COMPARE[self.comparison](observed, self.bound)
        return Checked(self.text, observed, held)


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of an assertion; ``observed`` is ``None`` where the run has no such figure."""

    text: str
    observed: float | None
    held: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, infinity as a word."""
        infinite = self.observed is not None and abs(self.observed) == _INFINITE
        observed = "infinite" if infinite else self.observed
        return {"assertion": self.text, "observed": observed, "held": self.held}


def check_all(assertions: Sequence[Assertion], summary: Mapping[str, Any]) -> list[Checked]:
    """Hold all against a summary."""
    return [assertion.check(summary) for assertion in assertions]


def _name(text: str) -> str:
    """Return the one form of a name: a quantile comes first and has no unit."""
    plain = text.removesuffix("_ms")
    for share in QUANTILES:
        for latency in _LATENCIES:
            if plain in (f"{share}_{latency}", f"{latency}_{share}"):
                return f"{share}_{latency}"
    if text in (*_COUNTS, *_SHARES, *_RATES, *_WINDOWS, *Outcome):
        return text
    raise ProfileError(f"there is no figure {text!r} to assert; there are: {NAMES}")


def _units(name: str) -> Mapping[str, Decimal]:
    if name.partition("_")[0] in QUANTILES:
        return _MS_UNITS
    if name in ("time_to_detect_s", "time_to_recover_s"):
        return _S_UNITS
    return _SHARE_UNITS if name in (*_SHARES, "window_availability") else _NO_UNITS


def _figure(name: str, summary: Mapping[str, Any]) -> float | None:
    requests, slo, rates = summary["requests"], summary["slo"], summary["rates_per_s"]
    share, _, latency = name.partition("_")
    if share in QUANTILES:
        return _quantile(share, latency, summary)
    if name in _WINDOWS:
        return _worst(name, summary)
    scheduled = requests["scheduled"]
    success = requests["success"] / scheduled if scheduled else 0.0
    figures: dict[str, float] = {
        **{count: requests[count] for count in _COUNTS},
        "attainment": slo["attainment"],
        "availability": success,
        "error_rate": 1 - success,
        "goodput_per_s": slo["goodput_per_s"],
        "output_tokens_per_s": rates["output_tokens"],
        "success_per_s": rates["success"],
    }
    # `success` is a count and an outcome, and the same number.
    return figures[name] if name in figures else requests["outcomes"].get(name, 0)


def _quantile(share: str, latency: str, summary: Mapping[str, Any]) -> float | None:
    name = _LATENCIES[latency]
    if latency == "schedule_lag":
        return _number(summary["audit"][name][share])
    if latency == "tpot":
        return _number(summary["successes"][name][share])
    value = summary["with_failures"][name][share]
    return _INFINITE if value is None and summary["requests"]["scheduled"] else _number(value)


def _worst(name: str, summary: Mapping[str, Any]) -> float | None:
    """Return the worst of all windows; what was never seen or never over took for ever."""
    marked = (summary["windows"] or {"marked": []})["marked"]
    if name == "window_availability":
        known = [each["availability"] for each in marked if each["availability"] is not None]
        return min(known, default=None)
    if name == "lost":
        return max((each["lost"] for each in marked), default=None)
    if name == "time_to_recover_s":
        # A window that broke nothing has nothing to recover from.
        values = [
            0.0 if each["recovered"] is None else each[name] if each["recovered"] else _INFINITE
            for each in marked
        ]
    else:
        values = [_INFINITE if each[name] is None else each[name] for each in marked]
    return max(values, default=None)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
