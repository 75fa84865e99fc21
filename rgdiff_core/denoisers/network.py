r"""The learned denoiser: a Gaussian posterior and a network's correction to it.

The network F adds to the Gaussian posterior's mean m

    D = m + c_out · U†F(U m / d, state),    c_out = √V,  V/d  or  √V̄,

with V the Gaussian posterior's variance and d² the mean of Σ, of the lattice that F was trained on
wherever it is used (`NetworkDenoiser.on`). F = 0 is the free theory. With c_out = √V the target of
F has unit variance in every component at every time (EDM's preconditioning, per component); with
c_out = V/d, F is the force −∇S_int of Polchinski's effective interaction at the cutoff that V
describes, in units of 1/d. V̄ is V with the mean of Σ where F is used for Σ (EDM's c_out).

**Coarse grids.** Where all components that a coarser grid lacks are noise, of a signal-to-noise
ratio α²Σ/(σ²S²) ≤ ε, F may run on that grid, at a quarter of the cost for each halving of the
sides: on the same field at fewer sites, while the fine components keep the Gaussian posterior. Of
optimal denoisers, that costs samples at most

    KL ≤ ½ Σ_k log(1 + α_k²Σ_k/(σ_k²S_k²))

in nats, each fine component k being taken at the switch at which it joins: the coarse components
at that time come from their own exact process, independent of the fine ones, which are drawn from
N(αμ, α²Σ + σ²S²), and h(χ_fine(t) | χ_coarse(t)) is at least that of the noise.

References:
    Karras et al., 2206.00364 (preconditioning); Polchinski, Nucl. Phys. B 231 (1984) 269; Ho &
    Salimans, 2207.12598 (the null label); Scale Space Diffusion, 2603.08709 (coarse grids).
"""

import copy
from typing import Self

import torch
from torch import Tensor, nn

from rgdiff_core.bases import Basis, CoarseGrid
from rgdiff_core.bases.base import Shape
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers.base import (
    Denoiser,
    Posterior,
    check_labels,
    gaussian_posterior,
    gaussian_score,
    moved_basis,
)
from rgdiff_core.denoisers.model_spec import ModelSpec
from rgdiff_core.denoisers.modes_line import ModesLine, spline
from rgdiff_core.denoisers.noise_state import NoiseState, average, with_buffers
from rgdiff_core.lattice.line import CouplingLine
from rgdiff_core.networks import Network, network_dtype
from rgdiff_core.process import Marginal, Process

__all__ = ["NetworkDenoiser"]


class NetworkDenoiser(Denoiser):
    """A Gaussian posterior and a network's correction to it.

    It serves every process in its basis. The variance that it returns is the Gaussian one.

    Arguments:
        basis, modes: as of every denoiser; of a model along a line of couplings, the modes of its
            points. Such a model is at the middle one of them, until `at` says otherwise.
        spec: the choices.
        network: F, where it is there already: it is shared. A fresh one by default.
        units: d², (1, 1, 1), or at every point of the line, (K, 1, 1, 1); by default the mean
            variance of the Gaussian that F corrects.

    Attributes:
        autocast: the type that the network computes in, but not its basis; None: its weights' own.
        class_labels: of the fields, int64 (B,) or (1,), as set by `given`; None, as at first, for
            the null label.

    Raises `ValueError` where the fields do not fit the network or it is too large.
    """

    reference_mean: Tensor
    reference_variance: Tensor
    line_means: Tensor
    line_variances: Tensor
    line_places: Tensor
    modes_scale: Tensor
    modes_momentum: Tensor
    place: Tensor | None
    unit: Tensor | None
    line_units: Tensor | None

    def __init__(
        self,
        basis: Basis,
        modes: Modes | ModesLine,
        spec: ModelSpec,
        *,
        network: Network | None = None,
        units: Tensor | None = None,
    ) -> None:
        line = modes if isinstance(modes, ModesLine) else None
        if (None if line is None else line.line) != spec.line:
            raise ValueError("the modes are not those of the model's line of couplings.")
        modes = modes.modes[len(modes.modes) // 2] if isinstance(modes, ModesLine) else modes
        super().__init__(basis, modes)
        self.spec = spec
        for name, value in self._reference(self.modes_mean, self.modes_variance).items():
            self.register_buffer(name, value)
        self.state = NoiseState(modes, spec.conditioning)
        spec.parameters(basis.shape)  # refuses what is too large before memory is taken
        self.grids = nn.ModuleList(
            CoarseGrid(basis, halvings + 1).to(self.modes_mean.device)
            for halvings in range(spec.coarse_grids)
        )
        if network is None:
            features = spec.features(len(self.state.weights))
            network = spec.network.build(basis.shape, features, len(spec.class_names))
            network = network.to(self.modes_mean)
        self.network = network
        self.autocast: torch.dtype | None = None
        self.class_labels: Tensor | None = None
        self.register_buffer("place", None, persistent=False)
        units = None if units is None else units.to(self.modes_mean)
        self.register_buffer("unit", units if line is None else None, persistent=False)
        self.register_buffer("line_units", None if line is None else units, persistent=False)
        if line is not None:
            self.unit = None if units is None else units[len(units) // 2]
            places = self.modes_mean.new_tensor(line.line.places)[:, None]
            self.couplings = line.line.middle
            self.place = places[len(places) // 2 :][:1]
            self.register_buffer("line_means", line.means, persistent=False)
            self.register_buffer("line_variances", line.variances, persistent=False)
            self.register_buffer("line_places", places, persistent=False)

    def details(self) -> tuple[str, ...]:
        """Return network, size and conditioning, for people."""
        count = sum(each.numel() for each in self.network.parameters())
        given = self.spec.conditioning.replace("_", " ")
        return str(self.spec.network), f"{count:,} parameters", f"conditioned on {given}"

    def _reference(self, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
        """Return mean and variances of the Gaussian that F corrects, given those of the data."""
        if self.spec.reference == "isotropic":
            power = average(variance) + average(mean**2)
            mean, variance = torch.zeros_like(mean), power.expand(variance.shape).clone()
        return {"reference_mean": mean, "reference_variance": variance}

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return the names of the classes that the network is conditioned on."""
        return self.spec.class_names

    def set_precision(self, precision: str) -> Self:
        """Set the type that the network computes in where the model is now; return the model.

        Arguments:
            precision: "float32", "bfloat16" or "auto", as of `networks.network_dtype`: all but
                "bfloat16" leave a device without fast bfloat16 as it is, to the last bit.
        """
        self.autocast = network_dtype(precision, self.spec.network, self.modes_mean.device)
        if self.autocast is not None:
            self.network.to(memory_format=torch.channels_last)
        return self

    def given(self, class_labels: Tensor | None) -> Self:
        """Return the same model of fields of given classes; see `Denoiser.given`."""
        if class_labels is None:
            return self
        check_labels(class_labels, self.num_classes)
        view = copy.copy(self)
        view.class_labels = class_labels.to(self.modes_mean.device)
        return view

    @property
    def line(self) -> CouplingLine | None:  # type: ignore[override]
        """Return the line of the couplings that the network is conditioned on."""
        return self.spec.line

    @property
    def modes_line(self) -> ModesLine | None:
        """Return the modes along that line."""
        if self.line is None:
            return None
        scale, momentum = self.modes_scale, self.modes_momentum
        both = zip(self.line_means, self.line_variances, strict=True)
        return ModesLine(self.line, tuple(Modes(scale, *each, momentum) for each in both))

    def at(self, m2: float, lam: float) -> Self:
        """Return the same model at given couplings; see `Denoiser.at`."""
        line = self.modes_line
        if line is None:
            return super().at(m2, lam)  # type: ignore[return-value]
        place = line.line.place(m2, lam)
        places = self.line_places.new_full((1, 1), place)
        units = self.line_units
        unit = None if units is None else spline(line.line.places, units.log(), place).exp()
        found = self._with_data(*line.statistics(place), places, unit=unit)
        found.couplings = (m2, lam)
        return found

    @property
    def units(self) -> Tensor | None:
        """Return d² as it was trained with, None where it is that of the modes."""
        return self.unit if self.line_units is None else self.line_units

    @property
    def unit_variance(self) -> Tensor:
        """Return d², (…, 1, 1, 1): the network works in units of d."""
        return average(self.reference_variance) if self.unit is None else self.unit

    def on(self, shape: Shape, modes: Modes | ModesLine) -> Self:
        """Return the same model on another lattice; see `Denoiser.on`.

        The unit d stays that of training, for the network knows fields and forces in it. The modes
        of a model along a line of couplings are those at its points.

        Raises `ValueError` for what belongs to one size: networks with attention at a fixed
        resolution, odd sides, a kernel that wraps around, and bases but pixels and Fourier modes.
        """
        if not self.spec.network.any_size:
            raise ValueError(
                f"a {type(self.spec.network).__name__} serves {self.basis.shape[1]}×"
                f"{self.basis.shape[2]} fields alone, for its attention has a fixed resolution: "
                "only lattice networks move to other sizes."
            )
        units, line = self.units, self.modes_line
        if units is None:
            means = self.modes_mean if line is None else line.means
            variances = self.modes_variance if line is None else line.variances
            units = average(self._reference(means, variances)["reference_variance"])
        basis = moved_basis(self.basis, shape, modes)
        found = type(self)(basis, modes, self.spec, network=self.network, units=units)
        del found.network  # it is shared: it keeps its type
        found.to(self.modes_mean).train(self.training)
        found.autocast, found.class_labels = self.autocast, self.class_labels
        found.network, found.card = self.network, self.card
        return found if self.couplings is None else found.at(*self.couplings)

    def at_points(self, points: Tensor) -> Self:
        """Return the same model with each field (B, …) at a point of the line, by its number.

        It is for the loss alone: its modes have the fields' dimension, and it knows no couplings.

        Arguments:
            points: int64 (B,), in range.
        """
        data = (x[points] for x in (self.line_means, self.line_variances, self.line_places))
        unit = None if self.line_units is None else self.line_units[points]
        found = self._with_data(*data, unit=unit)
        found.couplings = None
        return found

    def _with_data(
        self, mean: Tensor, variance: Tensor, place: Tensor, *, unit: Tensor | None
    ) -> Self:
        """Return the same model with other data statistics, which may be those of each field."""
        data = {"modes_mean": mean, "modes_variance": variance, "place": place}
        found = with_buffers(self, unit=unit, **data, **self._reference(mean, variance))
        found.state = with_buffers(self.state, variance=variance)
        return found

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the corrected mean and the Gaussian variance."""
        own = self.gaussian(c, marginal)
        return Posterior(own.mean + self.network_term(c, marginal, own), own.variance)

    def network_term(
        self, c: Tensor, marginal: Marginal, gaussian: Posterior, labels: Tensor | None = None
    ) -> Tensor:
        """Return c_out U†F, what the network adds to the Gaussian mean: see `network_output`."""
        scale = self.c_out(marginal, gaussian.variance)
        return scale * self.network_output(c, marginal, gaussian, labels)

    def gaussian(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the posterior of the Gaussian that the network corrects."""
        return gaussian_posterior(c, marginal, self.reference_mean, self.reference_variance)

    def c_out(self, marginal: Marginal, variance: Tensor) -> Tensor:
        """Return c_out, given the Gaussian posterior variance V."""
        if self.spec.c_out == "std":
            return variance.sqrt()
        if self.spec.c_out == "isotropic":
            return marginal.posterior_variance(average(self.reference_variance)).sqrt()
        return variance / self.unit_variance.sqrt()

    def network_input(self, c: Tensor, marginal: Marginal, gaussian: Posterior) -> Tensor:
        """Return what the network is shown, (B, C, H, W), in component space."""
        mean, variance = self.reference_mean, self.reference_variance
        if self.spec.network_input == "whitened":
            return c * marginal.total_variance(variance).rsqrt()
        if self.spec.network_input == "isotropic":
            gaussian = gaussian_posterior(c, marginal, mean, average(variance))
        return gaussian.mean / self.unit_variance.sqrt()

    def network_output(
        self,
        c: Tensor,
        marginal: Marginal,
        gaussian: Posterior,
        class_labels: Tensor | None = None,
    ) -> Tensor:
        """Return U†F, (B, C, H, W): the network's output, before it is scaled by c_out.

        Arguments:
            class_labels: int64 (B,) or (1,), in range; default: those of `given`.

        Raises `ValueError` for labels of a model without classes, or of another number of fields.
        """
        net_in = self.network_input(c, marginal, gaussian)
        labels = self.class_labels if class_labels is None else class_labels
        if labels is not None and self.num_classes == 0:
            raise ValueError("class_labels were given, but this model has no classes.")
        if labels is not None and len(labels) not in (1, len(c)):
            raise ValueError(f"{len(labels)} class_labels were given for {len(c)} fields.")
        state = self.state(marginal, self.unit_variance)
        if self.place is not None:
            rows = max(len(state), len(self.place))
            place = (2 * self.place - 1).expand(rows, 1)
            state = torch.cat([state.expand(rows, -1), place], 1)
        if len(self.grids) == 0:
            net_out = self._evaluate(self.basis.synthesize(net_in), state, labels)
            return self.basis.analyze(net_out)
        halvings = self.halvings(marginal)
        counts = torch.bincount(halvings, minlength=1 + len(self.grids)).tolist()
        if max(counts) == len(halvings):
            return self._on_grid(counts.index(max(counts)), net_in, state, labels)
        order = torch.argsort(halvings, stable=True)
        parts = [
            self._on_grid(number, net_in[rows], state[rows], _rows_of(labels, rows))
            for number, rows in enumerate(order.split(counts))
            if len(rows)
        ]
        return torch.cat(parts)[torch.argsort(order)]

    def halvings(self, marginal: Marginal) -> Tensor:
        """Return how often the sides of the network's grid are halved, int64 (B,), or (1,) where
        the marginal, of χ/r, is at one time.
        """
        signal = marginal.alpha**2 * self.modes_variance
        heard = signal > self.spec.coarse_snr * marginal.std**2
        found = [~(heard & grid.fine).any((-3, -2, -1)) for grid in self._grids]
        return sum(found, heard.new_zeros((), dtype=torch.int64)).reshape(-1)

    def coarse_bound(self, process: Process, times: int = 1025) -> float:
        """Return the bound, in nats, of what coarse grids cost samples of a process, as in the
        docstring of the module.

        Arguments:
            times: equally spaced, at which the grids are tabulated.
        """
        cost = torch.zeros_like(self.modes_variance)
        for t in torch.linspace(1, 0, times, dtype=torch.float64).split(64):
            marginal = process.vp_marginal(t.to(cost.device))
            signal = torch.log1p(marginal.alpha**2 * self.modes_variance / marginal.std**2)
            halvings = self.halvings(marginal)[:, None, None, None]
            for number, grid in enumerate(self._grids, 1):
                late = signal * (grid.fine & (halvings >= number))
                cost = torch.maximum(cost, late.amax(0))
        return float(cost.sum()) / 2

    @property
    def _grids(self) -> list[CoarseGrid]:
        return [grid for grid in self.grids if isinstance(grid, CoarseGrid)]

    def _on_grid(
        self, number: int, net_in: Tensor, state: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Return U†F of components that the network is given on a grid, 0 for those beyond it.

        Fields enter, and forces leave, in the units of the full grid's.
        """
        state = torch.cat((state, torch.full_like(state[:, :1], number)), 1)
        if number == 0:
            return self.basis.analyze(self._evaluate(self.basis.synthesize(net_in), state, labels))
        grid = self._grids[number - 1]
        field = grid.basis.synthesize(grid.restrict(net_in))
        if self.spec.network_input != "whitened":
            field = field / grid.amplitude
        net_out = grid.prolong(grid.basis.analyze(self._evaluate(field, state, labels)))
        return net_out * grid.amplitude if self.spec.c_out == "variance" else net_out

    def _evaluate(self, field: Tensor, state: Tensor, labels: Tensor | None) -> Tensor:
        """Return F of fields (B, C, h, w) in the precision of `autocast`."""
        given = (field, state) if labels is None else (field, state, labels)
        with torch.autocast(field.device.type, self.autocast, self.autocast is not None):
            return self.network(*given).to(field.dtype)

    def component_score(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return the Gaussian score plus α c_out U†F/(σ²S²), in which nothing cancels."""
        network_term = self.network_term(c, marginal, self.gaussian(c, marginal))
        free = gaussian_score(c, marginal, self.reference_mean, self.reference_variance)
        return free + marginal.alpha * network_term / marginal.std**2

    def interaction(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return f: where F corrects the data's Gaussian, by √V or V/d, nothing cancels."""
        if self.spec.reference != "spectrum" or self.spec.c_out == "isotropic":
            return super().interaction(c, marginal)
        net_out = self.network_output(c, marginal, gaussian := self.gaussian(c, marginal))
        scale = 1 if self.spec.c_out == "std" else (gaussian.variance / self.unit_variance).sqrt()
        return scale * net_out


def _rows_of(labels: Tensor | None, rows: Tensor) -> Tensor | None:
    return labels if labels is None or len(labels) == 1 else labels[rows]
