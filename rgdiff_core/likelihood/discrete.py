r"""The density of what a deterministic sampler draws in a finite number of steps, exactly.

Such a sampler is a map of components, from χ(1) of the prior to χ(0). Where it is one to one,

    log q(χ(0)) = log p₁(χ(1)) − log |det ∂χ(0)/∂χ(1)|,

with the determinant of the whole unrolled map, by backward passes through all steps. It says what
the steps that were really taken are worth, where the flow's density is that of infinitely many.
Where so few steps fold the map, several points come to one, and q is the part of one of them: too
little. Between a point where the map keeps its orientation and one where it turns it round there
is a fold, so determinants of both signs tell. Nats.
"""

import torch

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.likelihood.densities import Flowed, log_prior, prior_components
from rgdiff_core.likelihood.flow import Progress
from rgdiff_core.likelihood.jacobians import ROWS, log_determinant
from rgdiff_core.process import Generators, Process
from rgdiff_core.sampling import METHODS, Method, reverse
from rgdiff_core.sampling.grids import Grid
from rgdiff_core.spec import check_whole

__all__ = ["sampler_density"]

MAX_FIELDS = 100_000
MAX_COMPONENTS = 256  # rows of the Jacobian matrix


def sampler_density(
    model: Denoiser,
    process: Process,
    n: int,
    steps: int = 20,
    method: str | Method = "dpmpp_2m",
    generator: Generators = None,
    *,
    grid: Grid = "uniform",
    progress: Progress = None,
) -> Flowed:
    """Draw n fields as `sample` does, with the exact log density of what that many steps draw.

    Arguments:
        model: a denoiser in the process' basis, of at most 256 components.
        n: number of fields, 1 to 100,000.
        steps: as of `sample`.
        method: as of `sample`, one that draws nothing after the prior.
        grid: as of `sample`.
        progress: called with (fields done, n); it may raise to cancel.

    Raises `ValueError` for a value outside its range, a basis that differs, a schedule that jumps,
    a stochastic method, and fields of more components.
    """
    check_whole("n", n, 1, MAX_FIELDS)
    taken = _deterministic(method)
    c = prior_components(model, process, n, generator)
    if c[0].numel() > MAX_COMPONENTS:
        raise ValueError(
            f"the density of a sampler takes the whole Jacobian matrix; {c[0].numel()} components "
            f"are more than {MAX_COMPONENTS}."
        )
    ends, volumes, signs = [], [], []
    for part in c.split(ROWS):
        with torch.enable_grad():
            start = part.detach().requires_grad_()
            *_, state = reverse(model, process, start, steps, taken, grid=grid)
            sign, volume = log_determinant(state.components, start)
        signs.append(sign)
        volumes.append(volume)
        ends.append(state.components.detach())
        if progress is not None:
            progress(sum(map(len, ends)), n)
    x = process.basis.synthesize(torch.cat(ends))
    log_density = log_prior(model, process, c) - torch.cat(volumes)
    turned = torch.cat(signs) < 0
    folded = bool(turned.any()) and not bool(turned.all())
    return Flowed(x, log_density, steps * taken.evaluations, folded)


def _deterministic(method: str | Method) -> Method:
    named = METHODS.get(method) if isinstance(method, str) else method
    if named is None or not named.ode:
        known = ", ".join(name for name, other in METHODS.items() if other.ode)
        raise ValueError(f"method = {method!r} is not one of those that draw nothing: {known}.")
    return named
