"""`rgdiff data ising` and `gaussian`: lattice fields of other theories, generated as data sets."""

import argparse
import time
from pathlib import Path

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.data import FieldSet, GaussianSet, IsingSet, generate
from rgdiff_core.data.spectrum_tables import read_table
from rgdiff_core.lattice import FreeSpectrum, GaussianField, Ising, PowerSpectrum
from rgdiff_core.lattice.ising import CRITICAL_BETA
from rgdiff_core.lattice.random_fields import FieldSpectrum
from rgdiff_core.spec import check_range, to_dict
from rgdiff_core.terminal import bar

__all__ = ["COMMANDS"]


def _common_options(parser: argparse.ArgumentParser, sizes: str) -> None:
    parser.add_argument("--size", type=int, default=32, help=f"L, even, {sizes} (default 32)")
    parser.add_argument("--n", type=int, default=8000, help="training fields (default 8000)")
    parser.add_argument("--test", type=int, default=2000, help="test fields (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default 0)")


def _ising_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff data ising`."""
    _common_options(parser, "2 to 256")
    heat = parser.add_mutually_exclusive_group()
    heat.add_argument("--beta", type=float, help="β, 0 to 20 (default: the critical one, 0.4407)")
    heat.add_argument("--temperature", type=float, help="1/β instead")
    parser.add_argument("--chains", type=int, default=400, help="independent chains (default 400)")
    parser.add_argument(
        "--thinning", type=int, default=5, metavar="N", help="updates per field (default 5)"
    )


def _ising(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Generate Ising configurations; return what to print as JSON, and the lines for people."""
    beta = CRITICAL_BETA if chosen.beta is None else chosen.beta
    if chosen.temperature is not None:
        check_range("temperature", chosen.temperature, 0.05, 1e9)
        beta = 1 / chosen.temperature
    model = Ising(beta, chosen.size)
    spec = IsingSet(model, chosen.n, chosen.test, chosen.chains, chosen.thinning, chosen.seed)
    exact = {"energy_density": model.energy_density, "log_z": model.log_z}
    lines = [
        f"exactly: energy {exact['energy_density']:.6g} per site, log Z {exact['log_z']:.8g}",
        f"entropy {model.entropy / model.size**2:.6g} nats a spin",
    ]
    return _made(spec, exact | {"entropy": model.entropy}, lines)


def _gaussian_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff data gaussian`."""
    _common_options(parser, "4 to 256")
    law = parser.add_mutually_exclusive_group()
    law.add_argument(
        "--exponent", type=float, help="p of a power law (|k|² + k₀²)^(−p/2), −4 to 8 (default 2)"
    )
    law.add_argument("--m2", type=float, help="m² of the free theory 1/(2(k̂² + m²)) instead")
    law.add_argument(
        "--table", type=Path, metavar="FILE", help="a text file: |k| and power, a pair per line"
    )
    parser.add_argument(
        "--cutoff", type=float, help="k₀ of the power law in radians per site (default 0.1)"
    )
    parser.add_argument(
        "--variance",
        type=float,
        help="⟨φ²⟩ per site, 1e-6 to 1e6 (default: 1 for a power law, else as the spectrum is)",
    )


def _gaussian(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Generate Gaussian random fields; return what to print as JSON, and the lines for people."""
    variance, spectrum = chosen.variance, _spectrum(chosen)
    if isinstance(spectrum, PowerSpectrum) and variance is None:
        variance = 1.0
    field = GaussianField(spectrum, chosen.size, variance)
    exact = {"entropy": field.entropy, "variance": float(field.power.mean())}
    lines = [
        f"exactly: ⟨φ²⟩ = {exact['variance']:.6g}, entropy "
        f"{field.entropy / field.size**2:.6g} nats per site"
    ]
    return _made(GaussianSet(field, chosen.n, chosen.test, chosen.seed), exact, lines)


def _spectrum(chosen: argparse.Namespace) -> FieldSpectrum:
    if chosen.cutoff is not None and not chosen.m2 is chosen.table is None:
        raise ValueError("--cutoff belongs to a power law: give --exponent, or leave it out.")
    if chosen.m2 is not None:
        return FreeSpectrum(chosen.m2)
    if chosen.table is not None:
        return read_table(chosen.table)
    default = PowerSpectrum()
    return PowerSpectrum(
        default.exponent if chosen.exponent is None else chosen.exponent,
        default.cutoff if chosen.cutoff is None else chosen.cutoff,
    )


def _made(spec: FieldSet, exact: dict[str, float], lines: list[str]) -> tuple[object, list[str]]:
    """Generate a set, and tell of it."""
    start = time.perf_counter()
    name = generate(spec, bar)
    seconds = round(time.perf_counter() - start, 3)
    report = {"name": name, "spec": to_dict(spec), "exact": exact, "seconds": seconds}
    return report, [f"{spec.title}: {name}, {seconds:.1f} s", *lines]


COMMANDS: Entries = {
    "ising": Entry(_ising_options, _ising),
    "gaussian": Entry(_gaussian_options, _gaussian),
}
