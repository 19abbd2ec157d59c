# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground truth of one fault window: what was done, when, and with what effect.

Its form is ``schemas/ground_truth.json``.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import files, times
from .contract import Fault
from .errors import FaultError

FORMAT = 1
# The collection's (galaxy.yml).
AGENT_VERSION = "0.1.0"
TIMES = (
    "requested",
    "applied",
    "effect_first_seen",
    "revert_requested",
    "reverted",
    "revert_verified",
    "steady_state_regained",
)
REVERTERS = ("controller", "self", "watchdog", "operator", "abort")
OUTCOMES = ("effective", "not_effective", "aborted", "contaminated")


@dataclass
class GroundTruth:
    """The record as it fills; a time that has not come is None.

    ``outcome`` is None until the window has ended.
    """

    fault: str
    name: str
    sham: bool
    mechanism: str
    parameters: dict[str, float]
    target: dict[str, str]
    root_causes: list[dict[str, Any]]
    times: dict[str, str | None]
    dose: dict[str, dict[str, float]]
    # Other clocks less this host's.
    clock_offsets_ms: dict[str, float] = field(default_factory=dict)
    reverted_by: str | None = None
    outcome: str | None = None
    messages: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def of(cls, fault: Fault) -> GroundTruth:
        """Begin the record of a fault that is asked for now."""
        causes = [
            {"component": component, "metrics": list(metrics)}
            for component, metrics in fault.root_causes().items()
        ]
        return cls(
            fault=fault.id,
            name=fault.name,
            sham=fault.sham,
            mechanism=fault.mechanism,
            parameters=dict(fault.values),
            target=fault.target.describe(),
            root_causes=[] if fault.sham else causes,
            times={**dict.fromkeys(TIMES), "requested": times.now_text()},
            dose={"intended": fault.intended_dose(), "measured": {}},
            versions={
                "agent": AGENT_VERSION,
                "kernel": platform.release(),
                "python": platform.python_version(),
            },
        )

    @property
    def title(self) -> str:
        """The window in a few words: the fault and its target."""
        return f"{self.fault} {self.name} on {self.target['component']}"

    def stamp(self, name: str, time: str | None = None) -> None:
        """Set a time to now or to what others tell, unless it has come already."""
        if self.times[name] is None:
            self.times[name] = time or times.now_text()

    def to_json(self) -> dict[str, Any]:
        """Return the record as in the schema."""
        return dataclasses.asdict(self)

    def write(self, *paths: Path) -> None:
        """Write the record to each of the files."""
        for path in paths:
            files.write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> GroundTruth:
        """Read a record that this version has written.

        Raises
        ------
        FaultError
            If it can't be read.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise FaultError(f"{path} can't be read as a ground truth: {error}") from error
