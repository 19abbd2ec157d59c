# SPDX-License-Identifier: Apache-2.0
"""Drain: log lines to templates by a tree of fixed depth.

He, Zhu, Zheng, Lyu, Drain: An Online Log Parsing Approach with Fixed Depth Tree, ICWS 2017. Own
code, because drain3 pins vulnerable versions of its dependencies.

Departures from the paper:

Masks, not "has a digit", tell a parameter
    Section III-B lets a domain expert give expressions for parameters. Here every word with a digit
    in it is one (numbers, times, addresses, hashes, ids), except two kinds that say *which*
    statement or outcome a line is: a place in the code (``Service#31``, ``engine.py:210``) and a
    status (HTTP, exit code, errno, Xid). Lines that differ in such a word are never put together.
Leading parameters are skipped
    Most lines begin with a time, and the tree would spend its levels on it.
Similarity counts constants only
    Masked words are equal in all lines, and would make short messages alike.
One batch, in order of the text
    Drain's clusters depend on the order of arrival. A case is at hand as a whole, so each distinct
    line is added once, in order of its text: the result does not depend on the order of the rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rca_engine.errors import RcaEngineError

MASK = "<*>"
_LONGEST = 2000
"""Characters of a line that count: past it there is data, not a statement."""

_KEPT_NUMBERS = (
    *(
        f"{word}{mark}"
        for word in ("tatus", "tatus code", "tatus_code", "exit code", "exitcode", "rrno", "Xid")
        for mark in ("=", ":", ": ", " ")
    ),
    *(f'tatus"{mark}' for mark in (":", ": ", ':"', ': "')),
    *(f'HTTP/{version}" ' for version in ("1.0", "1.1", "2.0", "3.0")),
    *(f".{ending}:" for ending in ("py", "java", "go", "cc", "cpp", "rs", "js")),
)
"""What stands before a number that says which statement or outcome a line is."""
_NOT_KEPT = "".join(f"(?<!{re.escape(kept)})" for kept in _KEPT_NUMBERS) + "(?<![A-Za-z]#)"
_WORD = r"[^\W\d]*+\d\w*+"
_PARAMETER = re.compile(
    r"(?<!\w)(?:"
    # Words with digits, joined: numbers, times, versions, addresses with ports, ids.
    rf"(?=[^\W\d]*+\d){_NOT_KEPT}{_WORD}(?:[-.:/+@%]{_WORD})*+"
    # Parts of UUIDs and IPv6 addresses, and whole hashes, may have no digit.
    r"(?:[-:][0-9a-fA-F:]+(?!\w))*+"
    r"|[0-9a-fA-F]{8,}+(?:-[0-9a-fA-F]{4,}+)*+(?!\w)"
    r")"
)
_SEPARATOR = re.compile(r"[\s,;]+")
_DIGIT = re.compile(r"\d")

Ints = npt.NDArray[np.int64]
Words = tuple[str, ...]


@dataclass(frozen=True)
class DrainOptions:
    """How coarse the templates are.

    Parameters
    ----------
    depth
        Words, after the leading parameters, by which the tree branches (the paper's depth less 2).
    similarity
        Share of a template's constants that a line must have (the paper's ``st``).
    max_children
        Branches of a node; further words share one branch.
    """

    depth: int = 2
    similarity: float = 0.5
    max_children: int = 100

    def __post_init__(self) -> None:
        if self.depth < 1 or self.max_children < 1 or not 0.0 < self.similarity <= 1.0:
            raise RcaEngineError(
                "Drain needs depth and max_children of at least 1, and a similarity above 0 and "
                f"at most 1; got {self}"
            )


@dataclass(frozen=True)
class Parsed:
    """Lines by template.

    Parameters
    ----------
    ids
        Shape (lines,): each line's place in ``templates``.
    templates
        Words joined by spaces, parameters as ``<*>``; in order of their text.
    """

    ids: Ints
    templates: tuple[str, ...]


@dataclass
class _Group:
    """A template and the lines under it; a leaf of the tree has a few."""

    words: Words
    members: list[Words]

    def similarity(self, words: Words) -> tuple[float, int]:
        """Return the share of the constants that agree, and their number (section III-D)."""
        constants = sum(own != MASK for own in self.words)
        equal = sum(own == other != MASK for own, other in zip(self.words, words, strict=True))
        return (equal / constants if constants else 1.0), equal

    def add(self, words: Words) -> None:
        """Put a line under the template; where they differ there is a parameter."""
        pairs = zip(self.words, words, strict=True)
        self.words = tuple(own if own == other else MASK for own, other in pairs)
        self.members.append(words)


def parse(lines: Iterable[str], options: DrainOptions | None = None) -> Parsed:
    """Put each line under its template.

    The templates depend on the set of lines only, not on their order or number.

    Parameters
    ----------
    lines
        Any text; only the first 2000 characters of a line count.
    options
        How coarse the templates are.
    """
    # Each distinct line is masked once, each distinct masked line grouped once.
    numbers: dict[str, int] = {}
    masks: dict[str, int] = {}
    number_of_line: list[int] = []
    mask_of_number: list[int] = []
    for line in lines:
        number = numbers.setdefault(line, len(numbers))
        number_of_line.append(number)
        if number == len(mask_of_number):
            mask_of_number.append(masks.setdefault(masked(line), len(masks)))
    words = [_words(each) for each in masks]
    text_of = {
        member: " ".join(group.words)
        for group in _grow(sorted(set(words)), options or DrainOptions())
        for member in group.members
    }
    templates = sorted(set(text_of.values()))
    place = {text: at for at, text in enumerate(templates)}
    of_mask = np.array([place[text_of[each]] for each in words], dtype=np.int64)
    chosen = np.array(mask_of_number, dtype=np.int64)[np.array(number_of_line, dtype=np.int64)]
    return Parsed(of_mask[chosen], tuple(templates))


def masked(line: str) -> str:
    """Return the line with each parameter that can be told by its looks as ``<*>``."""
    return _PARAMETER.sub(MASK, line[:_LONGEST])


def _words(line: str) -> Words:
    return tuple(_SEPARATOR.split(line.strip(" \t\r\n\f\v,;")))


def _grow(lines: Iterable[Words], options: DrainOptions) -> list[_Group]:
    """Put masked lines, each of its own, into groups (sections III-C to III-E)."""
    groups: list[_Group] = []
    root: dict[tuple[object, ...], list[_Group]] = {}
    branches: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for words in lines:
        leaf = root.setdefault(_path(words, branches, options), [])
        ranked = [(*group.similarity(words), -at) for at, group in enumerate(leaf)]
        similar, _, at = max(ranked, default=(0.0, 0, 0))
        if similar >= options.similarity:
            leaf[-at].add(words)
        else:
            leaf.append(_Group(words, [words]))
            groups.append(leaf[-1])
    return groups


def _path(
    words: Words, branches: dict[tuple[object, ...], set[str]], options: DrainOptions
) -> tuple[object, ...]:
    """Return the way to a leaf: number of words, words with kept digits, the first words."""
    kept = tuple(word for word in words if _DIGIT.search(word))
    path: tuple[object, ...] = (len(words), kept)
    for word in _leading(words, options.depth):
        known = branches[path]
        if word not in known and len(known) >= options.max_children:
            word = MASK
        known.add(word)
        path = (*path, word)
    return path


def _leading(words: Words, depth: int) -> Iterator[str]:
    """Yield the first words after the leading parameters, each parameter as the mask."""
    start = next((at for at, word in enumerate(words) if MASK not in word), 0)
    for word in words[start : start + depth]:
        yield MASK if MASK in word else word
