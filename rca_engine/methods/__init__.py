# SPDX-License-Identifier: Apache-2.0
"""The methods: one file each, found by looking, listed nowhere else.

A module of this package whose name does not begin with ``_`` registers its method::

    @method("baro", sources={"metrics"}, paper="Pham et al., FSE 2024")
    def rank(case: CaseView, context: Context, *, quantile: float = 0.5) -> Ranking: ...

Keyword-only parameters are the method's options; each has a default.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rca_engine.errors import MethodError
from rca_engine.ranking import Ranking

Rank = Callable[..., Ranking]


@dataclass(frozen=True)
class Method:
    """A registered method: what it reads, where it was published, how to run it."""

    name: str
    summary: str
    sources: frozenset[str]
    paper: str
    options: Mapping[str, Any]
    """Option to its default."""
    rank: Rank

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse options that the method does not have.

        Raises
        ------
        MethodError
            Naming the option and those that exist.
        """
        unknown = sorted(options.keys() - self.options.keys())
        if unknown:
            raise MethodError(
                f"method {self.name} has no option {', '.join(unknown)}; "
                f"it has {', '.join(sorted(self.options))}"
            )


DEFAULT = ("baro", "nsigma")
"""Who is asked where nobody chooses: both answer in milliseconds, with reasons."""
ALL = "all"

_registry: dict[str, Method] = {}


def method(name: str, *, sources: Iterable[str], paper: str) -> Callable[[Rank], Rank]:
    """Register a function ``rank(case, context, *, option=default, ...)`` as a method."""

    def register(rank: Rank) -> Rank:
        if name in _registry:
            raise ValueError(f"two methods are called {name!r}")
        parameters = inspect.signature(rank).parameters.values()
        _registry[name] = Method(
            name=name,
            summary=(inspect.getdoc(rank) or "").partition("\n")[0],
            sources=frozenset(sources),
            paper=paper,
            options={
                each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY
            },
            rank=rank,
        )
        return rank

    return register


@functools.cache
def available() -> Mapping[str, Method]:
    """Return every method by its name, in order of names."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_registry.items()))


def get(name: str) -> Method:
    """Return a method.

    Raises
    ------
    MethodError
        If there is none of that name; lists those there are.
    """
    if name not in available():
        raise MethodError(f"no method {name!r}; there are {', '.join(available())}")
    return available()[name]


def choose(names: Iterable[str] | None) -> list[str]:
    """Return the methods that were asked for, each once: ``DEFAULT`` if none, or ``all``.

    Raises
    ------
    MethodError
        If there is none of a name.
    """
    wanted = list(dict.fromkeys(names or DEFAULT))
    if wanted == [ALL]:
        return list(available())
    return [get(name).name for name in wanted]
