"""What tokens cost: the config's `prices:`, then litellm's table where the litellm extra is installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from proxy.config import Config, Price
from proxy.wire.usage import Usage

_MILLION = 1_000_000


class Prices:
    """A name in `own` may have `*` and `?`; the first that fits is the price, so that "*" stands in for all of litellm's."""

    def __init__(self, own: Mapping[str, Price], table: Mapping[str, Any] | None = None) -> None:
        self._own, self._table = own, table or {}

    @classmethod
    def of_config(cls, config: Config) -> Prices:
        wanted = any(key.monthly_budget is not None for key in config.keys)
        return cls(config.prices, _litellm() if wanted and "*" not in config.prices else None)

    def find(self, model: str) -> Price | None:
        own = self._own.get(model) or next((p for name, p in self._own.items() if fnmatchcase(model, name)), None)
        if own is not None:
            return own
        entry = self._table.get(model) or self._table.get(model.rpartition("/")[2])
        if not isinstance(entry, Mapping) or not isinstance(entry.get("input_cost_per_token"), int | float):
            return None
        cached = entry.get("cache_read_input_token_cost")
        return Price(
            input=float(entry["input_cost_per_token"]) * _MILLION,
            output=float(entry.get("output_cost_per_token") or 0) * _MILLION,
            cached_input=float(cached) * _MILLION if isinstance(cached, int | float) else None,
        )

    def notices(self, config: Config) -> list[str]:
        """What an operator should know of the budgets: routes whose model has no price, as far as models are known."""
        found = []
        if any(key.monthly_budget is not None for key in config.keys) and config.limits.url is None:
            found.append(
                "monthly_budget: spending is counted in this process and forgotten when it ends; `limits: {url: redis://…}` "
                "keeps it"
            )
        for key in config.keys:
            for route in config.routes:
                model = config.model_of(route, route.match.model)
                if key.monthly_budget is None or not (key.routes is None or route.name in key.routes):
                    continue
                if not any(c in model for c in "*?[") and self.find(model) is None:
                    found.append(
                        f'key {key.name}: there is no price for the model "{model}" of the route {route.name}, so its '
                        "budget cannot be kept and the model is refused; add it under `prices:`"
                    )
        return found


def cost(price: Price, usage: Usage) -> float:
    cached = price.input if price.cached_input is None else price.cached_input
    fresh = usage.prompt - usage.cached
    return (fresh * price.input + usage.cached * cached + usage.completion * price.output) / _MILLION


def _litellm() -> Mapping[str, Any] | None:
    if importlib.util.find_spec("litellm") is None:
        return None
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # the table that came with it: nothing is fetched
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")  # nor is a `.env` read
    import litellm  # heavy, and asked for by a budget alone

    table: Mapping[str, Any] = litellm.model_cost
    return table
