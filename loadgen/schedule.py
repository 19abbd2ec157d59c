# SPDX-License-Identifier: Apache-2.0
"""When each request is due: computed before the run, and changed by nothing that the server does.

The whole schedule follows from the profile, never from who computes it: each of several processes
makes the same one and takes its share by index (:class:`loadgen.shard.Shard`).
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, count

import orjson

from loadgen.arrivals import place
from loadgen.curves import Curve, Segment, constant, parse_curve
from loadgen.errors import ProfileError
from loadgen.profile import Profile
from loadgen.trace import Row, read_trace

MAX_REQUESTS = 10_000_000
"""Longest schedule: one of more requests would not fit in a small pod's memory."""

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is sent when.

    Parameters
    ----------
    seed
        Seed of the prompts and identifiers that go with the times.
    offsets_ns
        Intended time of each request after the start of the run, in nanoseconds, ascending. Empty
        in a closed loop, whose users send when they are ready.
    warmup
        How many of them, from the first, are warm-up.
    duration_s
        Length of the measured phase in seconds; ``None`` in a closed loop that ends by count.
    content
        What else makes two loads differ: lengths, kinds of prompts, users.
    rows
        Recorded lengths of each request, for a trace; else empty.
    """

    seed: int
    offsets_ns: Sequence[int]
    warmup: int
    duration_s: float | None
    content: bytes = b""
    rows: Rows = field(default_factory=lambda: Rows())

    @property
    def measured(self) -> int:
        """How many requests are measured."""
        return len(self.offsets_ns) - self.warmup

    @property
    def sha256(self) -> str:
        """SHA-256, in hexadecimal, of all of the above: equal for equal loads."""
        digest = hashlib.sha256(f"{self.seed} {self.warmup}\n".encode())
        digest.update(self.content + b"\n")
        for column in (self.offsets_ns, *self.rows.columns()):
            digest.update(array("q", column).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Rows:
    """The lengths of a trace's requests, as columns.

    Parameters
    ----------
    prompt_tokens, output_tokens
        One number a request.
    blocks, ends
        The names of all prompts' blocks one after the other, and where those of each prompt end.
    """

    prompt_tokens: array[int] = field(default_factory=lambda: array("q"))
    output_tokens: array[int] = field(default_factory=lambda: array("q"))
    blocks: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.prompt_tokens)

    def columns(self) -> tuple[array[int], ...]:
        """Return the columns."""
        return self.prompt_tokens, self.output_tokens, self.blocks, self.ends

    def append(self, row: Row) -> None:
        """Add a request."""
        self.prompt_tokens.append(row.prompt_tokens)
        self.output_tokens.append(row.output_tokens)
        self.blocks.extend(row.blocks)
        self.ends.append(len(self.blocks))

    def blocks_of(self, index: int) -> array[int]:
        """Return the names of one prompt's blocks."""
        return self.blocks[self.ends[index - 1] if index else 0 : self.ends[index]]


def make_schedule(profile: Profile) -> Schedule:
    """Compute the schedule of a profile.

    A rate's warm-up holds the requests due in ``[0, warmup_s)``, its measured phase those due in
    ``[warmup_s, warmup_s + duration_s)``; a curve starts at the end of the warm-up, which has its
    first rate. A phase that ends by count lasts until the next request would have been due.

    Raises
    ------
    ProfileError
        If a trace can't be read, or there would be nothing, or too much, to send.
    """
    if profile.closed is not None:
        return _closed(profile)
    if profile.trace is not None:
        return _replay(profile)
    due = _burst_times(profile) if profile.bursts is not None else _rate_times(profile)
    offsets: array[int] = array("q")
    warmup = 0
    duration_s = profile.duration_s
    for in_warmup, offset_ns in due:
        if profile.requests is not None and len(offsets) - warmup == profile.requests:
            duration_s = offset_ns / _NS - profile.warmup_s
            break
        offsets.append(offset_ns)
        warmup += in_warmup
        _check_size(len(offsets))
    _check_measured(len(offsets) - warmup)
    if duration_s is None:
        raise ProfileError(
            f"the curve ends at a rate of 0 after {len(offsets)} requests, {profile.requests} "
            "are asked for: give a duration, or fewer requests"
        )
    return Schedule(
        seed=profile.seed,
        offsets_ns=offsets,
        warmup=warmup,
        duration_s=duration_s,
        content=_content(profile),
    )


def _rate_times(profile: Profile) -> Iterator[tuple[bool, int]]:
    """Yield whether a request is warm-up, and its time, up to the end if there is one."""
    if profile.curve is not None:
        curve = parse_curve(profile.curve)
    else:
        # By way of text: 0.1 is meant as a tenth, not as the double next to it.
        curve = constant(profile.rate_per_s or 0)
    warmup_s = Fraction(str(profile.warmup_s))
    first = next(curve.pieces()).start_per_s
    segments = chain((Segment(warmup_s, first, first),), _until(curve, profile.duration_s))
    for number, offset_ns in place(profile.arrivals.points(profile.seed), segments):
        yield number == 0, offset_ns


def _until(curve: Curve, duration_s: float | None) -> Iterator[Segment]:
    """Yield a curve's segments, the last one cut where the measured phase ends."""
    left = None if duration_s is None else Fraction(str(duration_s))
    for segment in curve.pieces():
        if left is None or (segment.length_s is not None and segment.length_s <= left):
            yield segment
            left = None if left is None or segment.length_s is None else left - segment.length_s
            continue
        share = left / segment.length_s if segment.length_s else Fraction(0)
        rise = segment.end_per_s - segment.start_per_s
        yield Segment(left, segment.start_per_s, segment.start_per_s + rise * share)
        return


def _burst_times(profile: Profile) -> Iterator[tuple[bool, int]]:
    bursts = profile.bursts
    if bursts is None:
        return
    every, warmup = Fraction(str(bursts.every_s)), Fraction(str(profile.warmup_s))
    end = None if profile.duration_s is None else warmup + Fraction(str(profile.duration_s))
    for number in count():
        time_s = every * number
        if end is not None and time_s >= end:
            return
        for _ in range(bursts.size):
            yield time_s < warmup, int(time_s * _NS)


def _replay(profile: Profile) -> Schedule:
    """Keep a trace's rows up to the end that the profile asks for."""
    if profile.trace is None:
        raise ValueError("the profile has no trace")
    warmup_ns = round(profile.warmup_s * _NS)
    end_ns = None if profile.duration_s is None else warmup_ns + round(profile.duration_s * _NS)
    offsets, rows, warmup = array("q"), Rows(), 0
    last_ns: int | None = None
    for row in read_trace(profile.trace):
        full = profile.requests is not None and len(offsets) - warmup == profile.requests
        if full or (end_ns is not None and row.time_ns >= end_ns):
            last_ns = row.time_ns if end_ns is None else min(row.time_ns, end_ns)
            break
        offsets.append(row.time_ns)
        rows.append(row)
        warmup += row.time_ns < warmup_ns
        _check_size(len(offsets))
    _check_measured(len(offsets) - warmup)
    if last_ns is None:
        # The trace is over: its last request stands for as long as the others do in the mean.
        last_ns = offsets[-1] + max(1, offsets[-1] // max(1, len(offsets) - 1))
        last_ns = last_ns if end_ns is None else min(last_ns, end_ns)
    return Schedule(
        seed=profile.seed,
        offsets_ns=offsets,
        warmup=warmup,
        duration_s=(last_ns - warmup_ns) / _NS,
        content=_content(profile),
        rows=rows,
    )


def _closed(profile: Profile) -> Schedule:
    return Schedule(
        seed=profile.seed,
        offsets_ns=array("q"),
        warmup=0,
        duration_s=profile.duration_s,
        content=_content(profile),
    )


def _content(profile: Profile) -> bytes:
    """Write down what is sent, as opposed to when and where to."""
    content = {name: getattr(profile, name) for name in profile.CONTENT}
    if profile.closed is not None:
        content |= {"closed": profile.closed, "warmup_s": profile.warmup_s}
        content |= {"duration_s": profile.duration_s, "requests": profile.requests}
    return orjson.dumps(content, default=str)


def _check_size(requests: int) -> None:
    if requests > MAX_REQUESTS:
        raise ProfileError(
            f"the load has more than {MAX_REQUESTS} requests: make it shorter or slower"
        )


def _check_measured(requests: int) -> None:
    if requests == 0:
        raise ProfileError(
            "no request is due in the measured phase: make it longer, or the load denser"
        )
