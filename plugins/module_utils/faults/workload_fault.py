# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the load itself: a second loadgen beside the run's own, on the lab's own gateway."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlsplit

from . import programs, web
from .contract import ANY_ISOLATION, Fault, Target
from .engine_metrics import EngineWatch, Seen, scrape
from .errors import RefusedError
from .lab import Client, Engine
from .second_load import SecondLoad, Shape
from .undo import Undo
from .undo_action import UndoAction

# The second load outlives the dose by so much at most, should nobody end it.
_MARGIN_S = 10.0
_START_S = 20.0
_FOLDER = "second_load"
_LEAST_S = 2.0
NEEDS = (
    "loadgen on this host, the engines' metrics, and `lab.json`, which tells of both; nothing of "
    "it is sent to anything but the lab's own gateway."
)


class WorkloadFault(Fault):
    """A bounded second load; what it does is looked for in the engines' own metrics.

    The run's own load goes on unchanged, and is what suffers. The records of the second one lie in
    ``second_load/`` beside the ground truth: the client's metrics of a case count both.
    """

    layer = "workload"
    kinds = ("client",)
    requirements = NEEDS
    mechanisms: ClassVar[Mapping[str, str | None]] = {"second_load": ANY_ISOLATION}
    baseline_s = 4.0
    # loadgen looks at the service first, and learns how it counts tokens.
    effect_deadline_s = 40.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._load: SecondLoad | None = None
        self._watch: EngineWatch | None = None

    @abstractmethod
    def _shape(self) -> Shape:
        """Return what the second load is like."""

    @abstractmethod
    def _acts(self, seen: Seen) -> bool:
        """Say whether the engines show it, two seconds of the dose or more being seen."""

    def intended_dose(self) -> dict[str, float]:
        shape = self._shape()
        dose = {"prompt_tokens_mean": float(shape.prompt_tokens)}
        if shape.rate_per_s is not None:
            dose["requests_per_s"] = shape.rate_per_s
        if shape.users is not None:
            dose["users"] = float(shape.users)
        return dose

    def preflight(self) -> None:
        client, engine = self._asked()
        shape = self._shape()
        wanted = shape.prompt_tokens + shape.output_tokens
        if wanted > engine.max_model_len:
            raise RefusedError(
                f"prompt_tokens and output_tokens are {wanted} together, and {engine.model} takes "
                f"no more than {engine.max_model_len}: ask for less"
            )
        self._check_gateway(client, engine)
        self._check_engines()
        self._check_loadgen(client)

    def _asked(self) -> tuple[Client, Engine]:
        lab = self.target.lab
        return lab.need_client(), lab.need_engine()

    def _check_gateway(self, client: Client, engine: Engine) -> None:
        """Refuse anything but the lab's own front door, and one that does not answer."""
        pods = self.target.lab.pods
        gateways = {pod.address for pod in pods if pod.component.startswith("gateway/")}
        if urlsplit(client.url).hostname not in gateways:
            raise RefusedError(
                f"{client.url} is no gateway of this lab, and nothing else may be loaded: run the "
                f"role chaos_agent, which writes lab.json"
            )
        url = f"{client.url.rstrip('/')}/v1/models"
        try:
            models = [each["id"] for each in json.loads(web.request(url))["data"]]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise RefusedError(
                f"{url} gives no list of models ({error}): is the service up?"
            ) from error
        if engine.model not in models:
            raise RefusedError(f"{client.url} serves {', '.join(models)}, and not {engine.model}")

    def _check_engines(self) -> None:
        try:
            for url in self._metrics_urls():
                scrape(url)
        except OSError as error:
            raise RefusedError(
                f"the engines' metrics, which would show the effect, can't be read: {error}"
            ) from error

    def _check_loadgen(self, client: Client) -> None:
        command = [*client.command, "run", "--help"]
        try:
            done = programs.run(command, _START_S)
        except OSError as error:
            raise RefusedError(f"loadgen can't be run: {error}") from error
        if done.returncode != 0:
            said = done.stderr.strip().rpartition("\n")[2]
            raise RefusedError(
                f"loadgen can't be run ({' '.join(client.command)}: {said}): install rcalab-llm "
                f"for the interpreter that lab_python names"
            )

    def _metrics_urls(self) -> list[str]:
        template = self.target.lab.need_engine().metrics
        return [template.format(address=each) for each in self.target.lab.replica_addresses()]

    def capture(self) -> tuple[UndoAction, ...]:
        client, engine = self._asked()
        folder = self.target.results or self.target.lab.folder
        if folder is None:
            raise RefusedError("nobody says where the second load's records go")
        self._load = SecondLoad(
            client, engine.model, self._shape(), self.duration_s + _MARGIN_S, folder / _FOLDER
        )
        self._watch = EngineWatch(self._metrics_urls())
        self._watch.start()
        return (self._load.undo(),)

    def inject(self) -> None:
        load, watch = self._given()
        watch.begin_dose()
        load.start()

    def _given(self) -> tuple[SecondLoad, EngineWatch]:
        if self._load is None or self._watch is None:
            raise OSError("the second load was not prepared")
        return self._load, self._watch

    def verify_effect(self) -> bool:
        _load, watch = self._given()
        seen = watch.seen()
        return seen is not None and seen.under.seconds >= _LEAST_S and self._acts(seen)

    def disturbance(self) -> str | None:
        load, _watch = self._given()
        return load.problem()

    def measured_dose(self) -> dict[str, float]:
        load, watch = self._given()
        # What is in flight has no record before its end.
        load.end()
        dose, seen = load.dose(), watch.seen()
        if seen is None:
            return dose
        ratios = {"before": seen.before.prefix_hit_ratio, "under": seen.under.prefix_hit_ratio}
        hits = {f"prefix_hit_ratio_{name}": each for name, each in ratios.items()}
        return {
            **dose,
            "engine_requests_per_s_before": round(seen.before.arrivals_per_s, 4),
            "engine_requests_per_s": round(seen.under.arrivals_per_s, 4),
            "engine_prompt_tokens_per_s_before": round(seen.before.prompt_tokens_per_s, 2),
            "engine_prompt_tokens_per_s": round(seen.under.prompt_tokens_per_s, 2),
            "engine_aborted": seen.under.aborted,
            "engine_requests_waiting": seen.waiting,
            "kv_cache_usage_ratio": round(seen.kv_usage_ratio, 4),
            **{name: round(each, 4) for name, each in hits.items() if each is not None},
        }

    def revert(self, undo: Undo) -> None:
        load, watch = self._given()
        load.end()
        watch.end()
        super().revert(undo)
