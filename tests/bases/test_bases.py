"""Bases against their laws, NumPy, SciPy, PyWavelets and scikit-learn."""

import math

import numpy as np
import pytest
import pywt
import scipy.fft
import torch
from laws import BASES, dense, fields
from sklearn.decomposition import PCA

from rgdiff_core.bases import (
    Basis,
    CosineBasis,
    FourierBasis,
    PCABasis,
    PixelBasis,
    WaveletBasis,
    decorrelation,
    orthogonal_wavelets,
)
from rgdiff_core.bases.base import laplacian_diagonal
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import Matched

EVEN = [(1, 8, 8), (2, 2, 2), (3, 4, 8)]
ANY = [*EVEN, (3, 3, 3), (1, 5, 7), (2, 1, 6), (1, 1, 1)]
CASES = [
    (name, shape)
    for name in BASES
    for shape in ANY
    if shape in EVEN or not name.startswith(("haar", "db3"))
]
every_basis = pytest.mark.parametrize(("name", "shape"), CASES)
each_precision = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=["f32", "f64"]
)


@every_basis
@each_precision
def test_synthesis_inverts_analysis(name, shape, dtype, tolerance):
    basis, x = BASES[name](shape), fields(shape).to(dtype)
    c = basis.analyze(x)
    assert c.shape == x.shape and c.dtype == dtype
    torch.testing.assert_close(basis.synthesize(c), x, rtol=0, atol=5 * tolerance)
    torch.testing.assert_close(basis.analyze(basis.synthesize(x)), x, rtol=0, atol=5 * tolerance)


@every_basis
@each_precision
def test_the_dense_matrix_is_orthonormal(name, shape, dtype, tolerance):
    matrix = dense(BASES[name](shape), dtype)
    unit = torch.eye(len(matrix), dtype=dtype)
    torch.testing.assert_close(matrix @ matrix.T, unit, rtol=0, atol=tolerance)
    torch.testing.assert_close(matrix.T @ matrix, unit, rtol=0, atol=tolerance)


@every_basis
def test_leading_dimensions_are_a_batch(name, shape):
    basis = BASES[name](shape)
    x = torch.randn(shape[0], 2, *shape, dtype=torch.float64)
    for transform in (basis.analyze, basis.synthesize):
        whole = transform(x)
        assert whole.shape == x.shape
        one_by_one = torch.stack([torch.stack([transform(a) for a in row]) for row in x])
        torch.testing.assert_close(whole, one_by_one)
        assert transform(x[:0]).shape == (0, 2, *shape)


@pytest.mark.parametrize("name", BASES)
def test_gradients_pass(name):
    basis = BASES[name]((2, 4, 4))
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(basis.analyze, x)
    assert torch.autograd.gradcheck(basis.synthesize, x)


@pytest.mark.parametrize("name", BASES)
def test_inference_leaves_nothing_behind_that_training_trips_over(name):
    shape = (1, 10, 10)
    with torch.inference_mode():
        BASES[name](shape).analyze(torch.ones(shape, dtype=torch.float64))
    x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    BASES[name](shape).analyze(x).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())


@every_basis
def test_scale_runs_from_the_coarsest_0_to_the_finest_1(name, shape):
    basis = BASES[name](shape)
    assert basis.scale.shape[0] in (1, shape[0]) and basis.scale.shape[1:] == shape[1:]
    assert basis.momentum.shape == basis.scale.shape
    assert float(basis.scale.min()) == 0
    many = math.prod(basis.scale.shape) > 1 and not isinstance(basis, PixelBasis)
    assert float(basis.scale.max()) == (1 if many else 0)
    order = basis.scale.flatten().argsort(stable=True)
    assert (basis.momentum.flatten()[order].diff() >= -1e-6).all()


@pytest.mark.parametrize("name", BASES)
def test_the_coarsest_component_of_a_local_basis_is_the_mean(name):
    if name.startswith(("pixel", "pca", "db3")):
        return
    basis = BASES[name]((3, 8, 8))
    c = basis.analyze(torch.ones(3, 8, 8, dtype=torch.float64))
    assert float((c**2)[(basis.scale == 0).expand(3, 8, 8)].sum()) == pytest.approx(3 * 64)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 6), (2, 2), (5, 8), (32, 32), (48, 7), (1, 49), (64, 3), (9, 51)]
)
def test_fourier_is_the_hartley_transform(size):
    x = fields((2, *size), 3)
    transform = np.fft.fft2(x.numpy(), norm="ortho")
    expected = torch.from_numpy(transform.real - transform.imag)
    torch.testing.assert_close(FourierBasis((2, *size)).analyze(x), expected)


def lattice_operator(height: int, width: int, mass2: float) -> torch.Tensor:
    """Return −Δ + m² on the periodic lattice as a dense matrix, written down bond by bond."""
    matrix = mass2 * torch.eye(height * width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            for a, b in (((i + 1) % height, j), (i, (j + 1) % width)):
                here, there = i * width + j, a * width + b
                matrix[here, here] += 1
                matrix[there, there] += 1
                matrix[here, there] -= 1
                matrix[there, here] -= 1
    return matrix


@pytest.mark.parametrize("size", [(6, 6), (5, 8), (2, 3)])
def test_fourier_diagonalises_the_lattice_operator(size):
    basis = FourierBasis((1, *size), "lattice").double()
    u = dense(basis)
    k2 = sum(
        torch.meshgrid(
            *(
                4 * torch.sin(torch.pi * torch.arange(n, dtype=torch.float64) / n) ** 2
                for n in size
            ),
            indexing="ij",
        )
    )
    expected = torch.diag(k2.flatten() + 0.7)
    torch.testing.assert_close(u @ lattice_operator(*size, 0.7) @ u.T, expected)
    torch.testing.assert_close(basis.momentum[0] ** 2, k2, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [(6, 6), (5, 8)])
def test_cosine_diagonalises_the_operator_with_reflecting_borders(size):
    def axis(n: int) -> torch.Tensor:
        path = 2 * torch.eye(n, dtype=torch.float64)
        path -= torch.diag(torch.ones(n - 1), 1) + torch.diag(torch.ones(n - 1), -1)
        path[0, 0] = path[-1, -1] = 1
        return path

    basis = CosineBasis((1, *size), "lattice").double()
    rows, columns = (torch.eye(n, dtype=torch.float64) for n in size)
    operator = torch.kron(axis(size[0]), columns) + torch.kron(rows, axis(size[1]))
    u = dense(basis)
    expected = torch.diag(basis.momentum.flatten() ** 2)
    torch.testing.assert_close(u @ operator @ u.T, expected, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("kind", ["continuum", "lattice"])
def test_momentum_kinds_agree_for_small_momenta(kind):
    basis = FourierBasis((1, 64, 64), kind)
    assert float(basis.momentum[0, 0, 1]) == pytest.approx(2 * math.pi / 64, rel=1e-3)
    largest = {"continuum": math.sqrt(2) * math.pi, "lattice": 2 * math.sqrt(2)}[kind]
    assert float(basis.momentum.max()) == pytest.approx(largest)


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (32, 32)])
def test_cosine_is_scipys_dct(size):
    x = fields((2, *size), 3)
    expected = scipy.fft.dctn(x.numpy(), axes=(-2, -1), norm="ortho")
    torch.testing.assert_close(CosineBasis((2, *size)).analyze(x), torch.from_numpy(expected))


@pytest.mark.parametrize("wavelet", orthogonal_wavelets())
@pytest.mark.filterwarnings("ignore:Level value of:UserWarning")
def test_wavelets_are_those_of_pywavelets(wavelet):
    x = fields((1, 16, 32), 2)
    # as far as the tabulated filter is itself orthogonal
    taps = np.asarray(pywt.Wavelet(wavelet).dec_lo)
    lags = [
        taps @ np.roll(np.pad(taps, (0, len(taps))), s)[: len(taps)]
        for s in range(2, len(taps), 2)
    ]
    defect = max([abs(taps @ taps - 1), *map(abs, lags)])
    for levels in range(1, 5):
        pyramid = pywt.wavedec2(x.numpy(), wavelet, "periodization", levels)
        expected = torch.from_numpy(pywt.coeffs_to_array(pyramid, axes=(-2, -1))[0])
        c = WaveletBasis((1, 16, 32), wavelet, levels).analyze(x)
        torch.testing.assert_close(c, expected, rtol=0, atol=1e-9 + 30 * defect)


def test_orthogonal_wavelets_are_the_families_that_pywavelets_calls_orthogonal():
    families = {pywt.Wavelet(name).short_family_name for name in orthogonal_wavelets()}
    assert families == {"haar", "db", "sym", "coif", "dmey"}


@pytest.mark.parametrize(("wavelet", "levels"), [("haar", 1), ("haar", 3), ("db2", 2)])
def test_components_of_one_kind_are_shifted_copies_and_there_are_no_others(wavelet, levels):
    basis, count = WaveletBasis((1, 16, 8), wavelet, levels), torch.zeros(1, 16, 8)
    for rows, columns in basis.kinds_of_components():
        count[:, rows, columns] += 1
        one, other = torch.zeros(2, 1, 16, 8)
        one[:, rows.start, columns.start] = other[:, rows.stop - 1, columns.start] = 1
        step = 16 // (rows.stop - rows.start)
        moved = basis.synthesize(one).roll(step * (rows.stop - 1 - rows.start), 1)
        torch.testing.assert_close(basis.synthesize(other), moved, atol=1e-6, rtol=0)
    assert torch.equal(count, torch.ones(1, 16, 8))


def test_wavelets_on_another_lattice_have_the_same_scales_and_no_level_is_pixels():
    basis = WaveletBasis((1, 8, 8), "db2", 2)
    other = basis.on((1, 16, 12))
    assert (other.shape, other.options()) == ((1, 16, 12), basis.options())
    assert torch.equal(torch.unique(other.scale), torch.unique(basis.scale))
    refuses("levels = 2 is outside", basis.on, (1, 6, 6))
    x = torch.randn(3, 1, 8, 8)
    averages = WaveletBasis((1, 8, 8), levels=1).analyze(x)[..., :4, :4]
    pixels = WaveletBasis((1, 8, 8), levels=1).coarse((1, 4, 4))
    assert isinstance(pixels, PixelBasis) and pixels.shape == (1, 4, 4)
    torch.testing.assert_close(averages / 2, torch.nn.functional.avg_pool2d(x, 2))


def test_wavelet_scale_is_the_level():
    basis = WaveletBasis((1, 8, 8), levels=2)
    expected = torch.ones(8, 8)
    expected[:4, :4] = 0.5
    expected[:2, :2] = 0
    torch.testing.assert_close(basis.scale[0], expected)
    assert WaveletBasis((1, 24, 16)).levels == 3


@pytest.mark.parametrize(("shape", "n"), [((1, 6, 6), 500), ((2, 4, 4), 50), ((1, 5, 5), 10)])
def test_pca_is_scikit_learns(shape, n):
    x = fields(shape, n)
    flat = x.flatten(1).numpy()
    reference = PCA(svd_solver="full").fit(flat)
    basis = PCABasis.fit(x)
    known = min(n - 1, flat.shape[1])
    overlap = (basis.vectors[:known].numpy() * reference.components_[:known]).sum(1)
    np.testing.assert_allclose(np.abs(overlap), 1, rtol=1e-8)
    variance = basis.analyze(x).flatten(1).var(0)[:known]
    np.testing.assert_allclose(variance, reference.explained_variance_[:known], rtol=1e-8)


def test_whitened_pca_is_pca_with_matched_colour():
    x = fields((2, 4, 4), 200)
    basis = PCABasis.fit(x)
    modes = Modes.fit(basis, x, prior_count=0)
    whitened = (basis.analyze(x) - modes.mean) / Matched().variance(modes).sqrt()
    reference = PCA(whiten=True, svd_solver="full").fit_transform(x.flatten(1).numpy())
    np.testing.assert_allclose(whitened.flatten(1).abs(), np.abs(reference), atol=1e-7)


@pytest.mark.parametrize("name", [name for name in BASES if "decorrelated" in name])
def test_decorrelated_channels_are_uncorrelated(name):
    shape = (3, 8, 8)
    x = fields(shape)
    rotation = decorrelation(x)
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64))
    rotated = torch.einsum("dc,nchw->ndhw", rotation, x)
    covariance = torch.cov(rotated.movedim(1, 0).flatten(1))
    torch.testing.assert_close(covariance, torch.diag(covariance.diagonal()))
    assert (covariance.diagonal().diff() <= 0).all()
    if not name.startswith("pca"):
        plain = BASES[name.removesuffix(", decorrelated")](shape)
        torch.testing.assert_close(BASES[name](shape).analyze(x), plain.analyze(rotated))


def test_colour_axes_are_those_of_double_precision_with_a_sign_that_noise_does_not_change():
    """Two entries of the second axis are equal but for their sign, as of photographs."""
    axes = torch.tensor([[0.58, 0.58, 0.57], [0.706, 0.046, -0.707], [0.41, -0.82, 0.40]]).double()
    axes = torch.linalg.qr(axes.T).Q.T
    loud = torch.tensor([1.0, 0.1, 0.09]).double()[:, None, None]
    seen = []
    for seed in range(4):
        c = loud * fields((3, 8, 8), 3000, seed=seed)
        x = torch.einsum("dc,ndhw->nchw", axes, c) + 100.0  # large means: cancellation
        found = decorrelation(x.float())
        pixels = x.float().double().movedim(1, 0).flatten(1).numpy()
        _, vectors = np.linalg.eigh(np.cov(pixels))
        torch.testing.assert_close(
            found.double().abs(), torch.from_numpy(vectors.T[::-1].copy()).abs(), atol=1e-5, rtol=0
        )
        seen.append(found.sign()[1, [0, 2]])
    assert all(torch.equal(each, seen[0]) for each in seen) and seen[0][0] > 0


def refuses(match: str, make, *arguments, **options) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        make(*arguments, **options)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 300


@pytest.mark.parametrize("make", [PixelBasis, FourierBasis, CosineBasis, WaveletBasis])
def test_a_bad_shape_is_one_sentence(make):
    for shape in ((3, 8), (0, 8, 8), (1, 8.5, 8), (1, -2, 8), (1, math.inf, 8), (1, math.nan, 8)):
        refuses("shape", make, shape)
    refuses(r"outside \[1, 1024\]", make, (1, 4096, 8))


def test_bad_arguments_are_one_sentence():
    x = fields((1, 4, 4))
    refuses("wavelet = 'nope'", WaveletBasis, (1, 8, 8), "nope")
    refuses("wavelet = 'bior2.2'", WaveletBasis, (1, 8, 8), "bior2.2")
    refuses("even sizes, got 8 × 7", WaveletBasis, (1, 8, 7))
    refuses(r"levels = 4 is outside \[1, 3\]", WaveletBasis, (1, 8, 8), levels=4)
    refuses("levels", WaveletBasis, (1, 8, 8), levels=1.5)
    refuses("momentum = 'k'", FourierBasis, (1, 8, 8), "k")
    refuses("momentum = 'k'", CosineBasis, (1, 8, 8), "k")
    refuses("1 images are too few", PCABasis.fit, x[:1])
    refuses("NaN", PCABasis.fit, x * math.nan)
    refuses(r"\(N, C, H, W\)", PCABasis.fit, x[0])
    refuses("5000 components", PCABasis.fit, torch.randn(3, 2, 50, 50))
    refuses("channels must have shape", PixelBasis, (3, 8, 8), channels=torch.eye(2))
    refuses("orthonormal", PixelBasis, (2, 8, 8), channels=torch.ones(2, 2))
    refuses("orthonormal", PixelBasis, (2, 8, 8), channels=torch.full((2, 2), math.nan))
    refuses("orthonormal", PCABasis, (1, 2, 2), torch.ones(4, 4))
    refuses("orthonormal", PCABasis, (1, 2, 2), torch.eye(4) * math.nan)
    refuses("vectors must have shape", PCABasis, (1, 2, 2), torch.eye(3))


@pytest.mark.parametrize("name", BASES)
def test_fields_that_do_not_fit_are_one_sentence(name):
    basis = BASES[name]((2, 4, 4))
    for transform in (basis.analyze, basis.synthesize):
        refuses("expected fields", transform, torch.zeros(5, 2, 4, 6))
        refuses("expected fields", transform, torch.zeros(4))
        refuses("floating", transform, torch.zeros(2, 4, 4, dtype=torch.uint8))


def test_an_incomplete_basis_is_refused():
    with pytest.raises(TypeError, match=r"abstract methods '?inverse_transform'?, '?transform"):
        Basis((1, 2, 2), torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), None)


@pytest.mark.parametrize("name", ["haar", "db3, one level", "haar, decorrelated"])
def test_the_momentum_of_a_wavelet_level_is_that_of_the_laplacian(name):
    shape = (2, 8, 8)
    basis = BASES[name](shape).double()
    x = basis.synthesize(torch.eye(128, dtype=torch.float64).reshape(-1, *shape))
    laplacian = sum(2 * x - x.roll(1, axis) - x.roll(-1, axis) for axis in (-2, -1))
    diagonal = (x * laplacian).sum((1, 2, 3)).reshape(shape)
    torch.testing.assert_close(laplacian_diagonal(basis), diagonal)
    for level in torch.unique(basis.scale):
        here = (basis.scale == level).expand(shape)
        k2 = (basis.momentum**2).expand(shape)[here]
        torch.testing.assert_close(
            k2, diagonal[here].mean().expand(k2.shape), rtol=1e-6, atol=1e-6
        )
    assert float((basis.momentum**2).mean()) == pytest.approx(4)  # the trace, per site
