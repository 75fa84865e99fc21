"""The menu of models of lattice theories, on the Lattice page."""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import rgdiff_core as rg
from pages._lattice.state import Theory
from pages._sampling import models
from rgdiff_core.lattice import Phi4
from rgdiff_core.training import TrainConfig, runs

__all__ = ["Menu", "choose", "listed"]

Menu = Mapping[str, tuple[str, Phi4]]
"""Titles and actions of models, by name."""


def listed(fits: Callable[[TrainConfig], bool] = lambda config: True) -> Menu:
    """Return the models of lattice theories; of runs, those whose config fits."""
    data = {f"pretrained/{each.name}": each.data for each in rg.list_pretrained()}
    with suppress(ValueError, OSError):  # without a registry there are no runs
        configs = {run.id: run.config for run in runs.list_runs()}
        data |= {f"run/{id}": each.data for id, each in configs.items() if each and fits(each)}
    found = {}
    for name, title in models.menu().items():
        action = rg.data.action_of(data.get(name, name.removeprefix("free/")))
        if action is not None:
            found[name] = title, action
    return found


def choose(box: Any, menu: Menu, theory: Theory, key: str, help: str) -> str | None:
    """Draw the menu in a box; at first the trained model is chosen whose theory is nearest."""
    return box.selectbox(
        "Model",
        list(menu),
        _first(menu, theory),
        key=key,
        bind="query-params",
        format_func=lambda each: f"{menu[each][0]}, {_couplings(menu[each][1])}",
        help=help,
    )


def _first(menu: Menu, theory: Theory) -> int:
    """Return the number of the trained model whose couplings are nearest to the page's."""

    def far(name: str) -> tuple[bool, float]:
        _, action = menu[name]
        gap = math.hypot(action.m2 - theory.m2, action.lam - theory.lam)
        return not models.fixes_basis(name), gap

    return list(menu).index(min(menu, key=far))


def _couplings(action: Phi4) -> str:
    return f"m² = {action.m2:g}, λ = {action.lam:g}".replace("-", "−")
