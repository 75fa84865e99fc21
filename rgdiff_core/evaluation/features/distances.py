r"""Distances between two sets of features, with errors.

The Fréchet distance is the squared 2-Wasserstein distance of the Gaussians with the sets' means
and covariances, |μ_a − μ_b|² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^{1/2}). It is biased upwards by about
1/n, so it compares only at equal n. The kernel distance is the unbiased squared maximum mean
discrepancy of the kernel (x·y/d + 1)³, whose expectation does not depend on n.

Errors are by the delete-a-group jackknife: the i-th of G random groups is left out of both sets
at once, and the variance is (G − 1)/G Σ_i (θ_i − θ̄)². Both sets count as random and independent.
With 10 groups such an error is itself known to about a quarter; where both sets come from one
distribution, the kernel distance is degenerate and its error is too large rather than too small.

References:
    GANs Trained by a Two Time-Scale Update Rule (1706.08500);
    Demystifying MMD GANs (1801.01401).
"""

import torch
from torch import Tensor

from rgdiff_core.devices import doubled
from rgdiff_core.spec import check_whole
from rgdiff_core.statistics import Estimate, jackknife_error, random_groups

__all__ = ["frechet_distance", "frechet_error", "kernel_distance"]

CHUNK = 2048  # rows of a kernel matrix that are held at a time


def frechet_distance(a: Tensor, b: Tensor) -> float:
    r"""Return the Fréchet distance of the Gaussians fitted to features a (N, d) and b (M, d).

    With Σ = RᵀR for each set and M = R_a R_bᵀ, tr (Σ_a Σ_b)^{1/2} is the sum of the singular
    values of M, taken as the roots of the eigenvalues of M Mᵀ, which is several times faster and
    good to about 1e-8 of the largest in each. No root of a matrix is taken, and sets of fewer
    samples than dimensions are no special case.

    Raises `ValueError` for shapes that don't fit, and features that are not finite.
    """
    a, b = _checked(a, b)
    mean_a, root_a = _gaussian(a)
    mean_b, root_b = _gaussian(b)
    product = root_a @ root_b.T
    overlap = torch.linalg.eigvalsh(product @ product.T).clamp_min(0).sqrt().sum()
    shift = (mean_a - mean_b).square().sum()
    return float(shift + root_a.square().sum() + root_b.square().sum() - 2 * overlap)


def frechet_error(a: Tensor, b: Tensor, groups: int = 10) -> float:
    """Return the standard error of `frechet_distance` by the delete-a-group jackknife.

    Costs `groups` distances. Raises `ValueError` as the distance, and for groups out of range.
    """
    a, b = _checked(a, b)
    check_whole("groups", groups, 2, min(len(a), len(b)) // 2)
    kept = [
        frechet_distance(a[_group(a, groups) != i], b[_group(b, groups) != i])
        for i in range(groups)
    ]
    return jackknife_error(torch.tensor(kept, dtype=torch.float64))


def kernel_distance(a: Tensor, b: Tensor, *, groups: int = 20) -> Estimate:
    r"""Return the unbiased squared MMD of features a (N, d) and b (M, d), with its error.

    All pairs are used, so that no subsets are drawn. Raises `ValueError` for shapes that don't
    fit, features that are not finite, and groups out of range (at least two samples in each).
    """
    a, b = _checked(a, b)
    check_whole("groups", groups, 2, min(len(a), len(b)) // 2)
    sets = (a, _group(a, groups)), (b, _group(b, groups))
    within_a, within_b = (_block_sums(each, each, groups, own=True) for each in sets)
    between = _block_sums(*sets, groups, own=False)
    size_a, size_b = (torch.bincount(group, minlength=groups).double() for _, group in sets)

    def distance(keep: Tensor) -> Tensor:
        """Return the U-statistic of the groups that are kept, (groups,) 0 or 1."""
        n, m = keep @ size_a, keep @ size_b
        mean_a = keep @ within_a @ keep / (n * (n - 1))
        mean_b = keep @ within_b @ keep / (m * (m - 1))
        return mean_a + mean_b - 2 * (keep @ between @ keep) / (n * m)

    every = torch.ones(groups, dtype=torch.float64, device=a.device)
    without = torch.stack([distance(row) for row in every - torch.eye(groups).to(every)])
    return Estimate(float(distance(every)), jackknife_error(without))


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return both sets in float64 on the device of the first."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"features of shapes {tuple(a.shape)} and {tuple(b.shape)} don't fit: both must be "
            "(samples, dimension)."
        )
    check_whole("samples", min(len(a), len(b)), 2, 2**31)
    a, b = doubled(a), doubled(b.to(a.device))
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("the features are not finite: do the images hold nan or inf?")
    return a, b


def _gaussian(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (d,), and R (min(N, d), d) with RᵀR the unbiased covariance."""
    mean = x.mean(0)
    root = (x - mean) / (len(x) - 1) ** 0.5
    return mean, torch.linalg.qr(root, mode="r").R if len(x) > x.shape[1] else root


def _group(x: Tensor, groups: int) -> Tensor:
    return random_groups(len(x), groups).to(x.device)


def _block_sums(
    left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor], groups: int, *, own: bool
) -> Tensor:
    """Return the sums (G, G) of the kernel over pairs of groups; no sample with itself if own."""
    (x, group_x), (y, group_y) = left, right
    columns = torch.zeros(len(x), groups, dtype=x.dtype, device=x.device)
    for start in range(0, len(x), CHUNK):
        rows = slice(start, start + CHUNK)
        kernel = (x[rows] @ y.T / x.shape[1] + 1) ** 3
        if own:
            kernel.diagonal(start).zero_()
        columns[rows].index_add_(1, group_y, kernel)
    sums = torch.zeros(groups, groups, dtype=x.dtype, device=x.device)
    return sums.index_add_(0, group_x, columns)
