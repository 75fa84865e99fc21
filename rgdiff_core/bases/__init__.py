r"""Bases U: where information sits.

The components of a field are χ = U†φ, with U real and orthogonal, so that white noise stays white
and densities do not change. Components keep the field's shape (C, H, W). Each has a *scale* in [0,
1] (0 the coarsest, 1 the finest) and a *momentum* |k| in radians per lattice spacing, which the
colours use:

======= ==================================== =============================================
basis   scale                                momentum
======= ==================================== =============================================
pixel   0                                    0
Fourier |k| / max |k|                        \|k\|, or the lattice's k̂_μ = 2 sin(k_μ/2)
cosine  |k| / max |k|                        as Fourier, with k_μ = π n_μ / L
wavelet level (approximation 0, finest 1)    √ of the mean of −Δ over the level
PCA     rank / (D − 1)                       √2 π √(rank / (D − 1)), as in Weyl's law in 2-D
======= ==================================== =============================================

Every basis can first rotate the colour channels by an orthonormal C×C matrix (`decorrelation`).
"""

from rgdiff_core.bases.base import (
    Basis,
    PixelBasis,
    check_fields,
    check_images,
    decorrelation,
)
from rgdiff_core.bases.coarse import CoarseGrid
from rgdiff_core.bases.harmonic import CosineBasis, FourierBasis
from rgdiff_core.bases.pca import PCABasis
from rgdiff_core.bases.wavelet import WaveletBasis, orthogonal_wavelets

__all__ = [
    "Basis",
    "CoarseGrid",
    "CosineBasis",
    "FourierBasis",
    "PCABasis",
    "PixelBasis",
    "WaveletBasis",
    "check_fields",
    "check_images",
    "decorrelation",
    "orthogonal_wavelets",
]
