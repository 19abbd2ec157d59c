# SPDX-License-Identifier: Apache-2.0
"""When each request is due: computed before the run, and changed by nothing that the server does.

Integers throughout: the same profile gives the same schedule on every machine.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from fractions import Fraction

from loadgen.profile import Profile

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """The intended times of a run.

    Parameters
    ----------
    seed
        Seed of the prompts and identifiers that go with the times.
    offsets_ns
        Intended time of each request after the start of the run, in nanoseconds, ascending.
    warmup
        How many of them, from the first, are warm-up.
    """

    seed: int
    offsets_ns: tuple[int, ...]
    warmup: int

    @property
    def measured(self) -> int:
        """How many requests are measured."""
        return len(self.offsets_ns) - self.warmup

    @property
    def sha256(self) -> str:
        """SHA-256, in hexadecimal, of seed, warm-up and offsets: equal for equal loads."""
        head = f"{self.seed} {self.warmup}\n".encode()
        offsets = struct.pack(f"<{len(self.offsets_ns)}q", *self.offsets_ns)
        return hashlib.sha256(head + offsets).hexdigest()


def constant_rate(profile: Profile) -> Schedule:
    """Place requests at equal distances: request ``i`` is due ``i / rate`` after the start.

    The warm-up holds those due in ``[0, warmup_s)``, the measured phase those due in
    ``[warmup_s, warmup_s + duration_s)``.
    """
    # By way of text: 0.1 is meant as a tenth, not as the double next to it.
    rate, warmup_s, duration_s = (
        Fraction(str(value)) for value in (profile.rate_per_s, profile.warmup_s, profile.duration_s)
    )
    total = _ceil(rate * (warmup_s + duration_s))
    step = _NS / rate
    return Schedule(
        seed=profile.seed,
        offsets_ns=tuple(i * step.numerator // step.denominator for i in range(total)),
        warmup=_ceil(rate * warmup_s),
    )


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
