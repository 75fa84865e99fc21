r"""What is measured of a trained model's samples and densities, for every arm alike.

- Its distance from the perfect denoiser, and the bound of −log q: see `distance`.
- The density of the probability flow, exactly: forwards on held-out configurations, backwards on
  the model's own samples. It costs a Jacobian's trace at every step, so that samples are few.
- N-step samplers: the susceptibility of what they draw, and the effective sample size of what N
  steps draw, with the exact determinant of their map.
"""

import math
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.evaluation import quality
from rgdiff_core.evaluation.lattice.quality import FLOW_GRID
from rgdiff_core.lattice import Phi4, observables
from rgdiff_core.likelihood import FoldedError, log_likelihood
from rgdiff_core.process import Process
from rgdiff_core.sampling import sample
from rgdiff_core.seeds import fold_in
from rgdiff_core.statistics import Estimate

__all__ = ["METHODS", "flow", "plain", "plain_numbers", "with_ends"]

ROWS = 512  # fields that are evaluated at once
# Time grids by the noise level, so that no arm's pace in t decides; each method's better one.
METHODS = {"interaction": "angle", "dpmpp_2m": "logsnr", "ancestral": "logsnr"}
EXACT = "interaction"  # the one whose effective sample size is measured


def flow(
    model: NetworkDenoiser,
    process: Process,
    action: Phi4,
    x: Tensor,
    n: int,
    steps: int,
    seed: int,
) -> tuple[Tensor, dict[str, Any]]:
    """Return −log q of fields x (N, 1, L, L), (N,) float64, and the quality of n samples."""
    nll = -log_likelihood(model, process, x, steps, grid=FLOW_GRID).double()
    generator = torch.Generator().manual_seed(fold_in(seed, 1))
    drawn = quality(model, process, action, n, steps, generator, grid=FLOW_GRID)
    return nll, _numbers(asdict(drawn))


def plain(
    model: NetworkDenoiser, process: Process, method: str, steps: int, n: int, seed: int
) -> Tensor:
    """Return n fields (n, 1, L, L) that a sampler draws in so many steps."""
    generator = torch.Generator().manual_seed(fold_in(seed, 2))
    parts, left = [], n
    while left > 0:
        parts.append(
            sample(
                model,
                process,
                min(ROWS, left),
                steps=steps,
                method=method,
                generator=generator,
                grid=METHODS[method],
            )
        )
        left -= ROWS
    return torch.cat(parts)


def plain_numbers(
    model: NetworkDenoiser,
    process: Process,
    action: Phi4,
    susceptibility: Estimate,
    steps: int,
    sizes: tuple[int, int],
    seed: int,
) -> list[dict[str, Any]]:
    """Return what samplers draw in so many steps, a row for each method.

    Arguments:
        susceptibility: the true one.
        sizes: samples for the susceptibility, and for the effective sample size.
    """
    rows = []
    for method in METHODS:
        x = plain(model, process, method, steps, sizes[0], seed)
        chi = observables(x, n_chains=len(x))["susceptibility"]
        row: dict[str, Any] = {
            "method": method,
            "nfe": steps,
            "susceptibility": chi.to_dict(),
            "susceptibility_percent": 100 * (chi.value / susceptibility.value - 1),
            "susceptibility_percent_error": 100 * chi.error / susceptibility.value,
            "susceptibility_sigma": chi.deviation(susceptibility),
        }
        if method == EXACT:
            row |= _weighed(model, process, action, steps, sizes[1], seed)
        rows.append(row)
    return rows


def _weighed(
    model: NetworkDenoiser, process: Process, action: Phi4, steps: int, n: int, seed: int
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(fold_in(seed, 3))
    try:
        drawn = quality(
            model, process, action, n, steps, generator, method=EXACT, grid=METHODS[EXACT]
        )
    except FoldedError:
        return {"ess": None, "reverse_kl": None, "mean_log_w": None, "folded": True}
    found = _numbers(asdict(drawn))
    return {name: found[name] for name in ("ess", "reverse_kl", "mean_log_w")} | {"folded": False}


def with_ends(result: dict[str, Any], beyond: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a training to whose distances ("kl", of its "points" too, and "table")
    that beyond the ends of its schedule is added.
    """
    found = result | {"ends": beyond["kl"], "kl": _sum(result["kl"], beyond["kl"])}
    if "table" in result:
        rows = zip(result["table"], beyond["table"], strict=True)
        found["table"] = [[x + y for x, y in zip(*row, strict=True)] for row in rows]
    if "points" in result:
        points = result["points"]
        found["points"] = [p | {"kl": _sum(p["kl"], beyond["kl"])} for p in points]
    return found


def _sum(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """Return the sum of two independent estimates."""
    first, second = (Estimate(each["value"], each["error"]) for each in (one, other))
    return (first + second).to_dict()


def _numbers(found: Any) -> Any:
    """Return nested dictionaries with estimates cut to value and error, and no nan for JSON."""
    if isinstance(found, dict):
        if "value" in found and "error" in found:
            return {name: _numbers(found[name]) for name in ("value", "error")}
        return {name: _numbers(value) for name, value in found.items()}
    if isinstance(found, float) and not math.isfinite(found):
        return None
    return found
