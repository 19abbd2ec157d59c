# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F29: a new configuration of the service allows too short prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .. import web
from ..contract import Parameter, Target
from ..errors import RefusedError
from ..serve_config_fault import NEEDS, ROLLOUT_S, EngineConfigFault

# A question beyond the limit, and not so long that it would be beyond the usual one too: a letter
# is a token, or with its space two.
_BEYOND = 8
_LETTER_TOKENS = 2


class BadRollout(EngineConfigFault):
    """Roll out a ``max_model_len`` that is too small for what clients ask."""

    id = "F29"
    name = "bad_rollout"
    summary = "The service is rolled out with too small a max_model_len."
    layer = "change"
    symptoms = (
        "Each engine starts anew, one after the other; then prompts above the limit get status "
        "400, and what is served is served as before. The rollout starts the ingress anew too: "
        "for a moment nobody is served."
    )
    requirements = f"{NEEDS} Clients whose prompts are longer than the limit: others see a restart."
    parameters = (
        Parameter("max_model_len", 48, 16, 100000, "Most tokens of a prompt and its answer."),
        ROLLOUT_S,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._limit = round(self.values["max_model_len"])
        self._asked = self._refused = 0

    def intended_dose(self) -> dict[str, float]:
        return {"max_model_len": float(self._limit)}

    def preflight(self) -> None:
        super().preflight()
        engine, client = self.target.lab.need_engine(), self.target.lab.need_client()
        longest = _LETTER_TOKENS * (self._limit + _BEYOND) + 1
        if longest > engine.max_model_len:
            raise RefusedError(
                f"max_model_len must be less than half of {engine.max_model_len}, which "
                f"{engine.model} has: a question beyond it must be one that is answered now"
            )
        try:
            refused = self._is_refused()
        except OSError as error:
            raise RefusedError(f"{client.url} does not answer a question: {error}") from error
        if refused:
            raise RefusedError(f"{client.url} refuses a question of {longest} tokens already")

    def _is_refused(self) -> bool:
        """Ask a question beyond the limit and say whether it is refused as the client's error."""
        lab = self.target.lab
        body = {
            "model": lab.need_engine().model,
            "prompt": " ".join("a" * (self._limit + _BEYOND)),
            "max_tokens": 1,
        }
        url = f"{lab.need_client().url.rstrip('/')}/v1/completions"
        try:
            web.request(url, "POST", json.dumps(body).encode())
        except web.AnsweredError as error:
            if error.status // 100 != 4:
                raise
            return True
        return False

    def _engine_kwargs(self) -> dict[str, int]:
        return {"max_model_len": self._limit}

    def _look(self) -> bool:
        refused = self._is_refused()
        self._asked, self._refused = self._asked + 1, self._refused + refused
        return refused

    def _remainder(self) -> str | None:
        return "a question is refused that was answered before" if self._is_refused() else None

    def measured_dose(self) -> dict[str, float]:
        return {
            "refused_ratio": round(self._refused / self._asked, 4) if self._asked else 0.0,
            "refused": float(self._refused),
        }
