# SPDX-License-Identifier: Apache-2.0
"""Cases of LLM-inference incidents, harvested, diagnosed, evaluated and reported.

>>> from rca_engine import diagnose
>>> diagnosis = diagnose("results/demo/cpu/run-01", method="baro")
>>> print(diagnosis.explain())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rca_engine.case import Case
    from rca_engine.diagnosis import Diagnosis, diagnose
    from rca_engine.errors import CaseError, MethodError, RcaEngineError
    from rca_engine.evaluation.evaluate import Evaluation, evaluate
    from rca_engine.evaluation.plan import Options

_PLACES = {
    "Case": "rca_engine.case",
    "CaseError": "rca_engine.errors",
    "Diagnosis": "rca_engine.diagnosis",
    "Evaluation": "rca_engine.evaluation.evaluate",
    "MethodError": "rca_engine.errors",
    "Options": "rca_engine.evaluation.plan",
    "RcaEngineError": "rca_engine.errors",
    "diagnose": "rca_engine.diagnosis",
    "evaluate": "rca_engine.evaluation.evaluate",
}
"""Public names and where they are; a name is imported when it is first used, for it costs time."""

__all__ = [
    "Case",
    "CaseError",
    "Diagnosis",
    "Evaluation",
    "MethodError",
    "Options",
    "RcaEngineError",
    "diagnose",
    "evaluate",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
