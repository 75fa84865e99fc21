"""`rgdiff data generate`, `import` and `export`: ensembles of lattice configurations."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.data import ensembles
from rgdiff_core.data.ensemble_files import SUFFIXES, check_ending
from rgdiff_core.data.ising_files import bring_spins, holds_spins
from rgdiff_core.data.sets import ENSEMBLE, action_of, load
from rgdiff_core.files.atomic import check_place
from rgdiff_core.lattice import HMC, Ensemble, EnsembleSpec, ImportedSpec, Phi4, observables
from rgdiff_core.lattice.conventions import CONVENTIONS, Numbers
from rgdiff_core.spec import check_range, to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import bar

__all__ = ["COMMANDS"]

ENDINGS = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
PAIRS = ({"m2", "lam"}, {"m2", "g"}, {"kappa", "lam"})


def _generate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff data generate`."""
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        metavar="FILE",
        help=f"where the fields are written, {ENDINGS}; without it they are kept as a data set",
    )
    parser.add_argument("--m2", type=float, default=-4.0, help="bare mass squared (default -4)")
    parser.add_argument("--lam", type=float, default=6.975, help="coupling λ (default 6.975)")
    parser.add_argument("--size", type=int, default=6, help="lattice size L, 2 to 256 (default 6)")
    parser.add_argument("--n", type=int, default=1000, help="number of fields (default 1000)")
    parser.add_argument("--chains", type=int, help="independent chains (default 20, or n)")
    parser.add_argument(
        "--thermalization",
        type=int,
        metavar="N",
        help="trajectories that are discarded, at least 20 (default: as many as it takes)",
    )
    parser.add_argument(
        "--thinning", type=int, default=5, metavar="N", help="trajectories per field (default 5)"
    )
    parser.add_argument(
        "--cluster", type=int, default=0, metavar="N", help="Wolff updates per trajectory"
    )
    parser.add_argument("--double", action="store_true", help="compute and keep in float64")
    parser.add_argument("--seed", type=int, default=0, help="seed (default 0)")


def _generate(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Generate an ensemble; return what to print as JSON, and the lines for people.

    Stopped, it goes on from where it was when it is called again with the same options.

    Raises `ValueError` for options that make no sense.
    """
    if chosen.out is not None:
        check_ending(chosen.out)
        check_place(chosen.out)
    spec = EnsembleSpec(
        m2=chosen.m2,
        lam=chosen.lam,
        size=chosen.size,
        n_samples=chosen.n,
        n_chains=min(20, chosen.n) if chosen.chains is None else chosen.chains,
        thermalization=chosen.thermalization,
        thinning=chosen.thinning,
        hmc=HMC(cluster=chosen.cluster),
        double=chosen.double,
        seed=chosen.seed,
    )

    def report(done: int, total: int) -> None:
        bar(done, total, f"Generating {spec.n_samples} φ⁴ configurations")

    known = ensembles.info(spec.id) is not None
    found = ensembles.generate(spec, progress=report)
    if chosen.out is not None:
        ensembles.export(found, chosen.out)
        if not known:
            ensembles.delete(spec.id)
    return _told(found, ENSEMBLE + spec.id if chosen.out is None else str(chosen.out))


def _import_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff data import`."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help=".npz, .npy, .h5 or .hdf5, with an array (n, L, L), (n, 1, L, L) or "
        "(chains, n, L, L), those of one chain side by side, and numbers m2, lam and n_chains "
        "or what other programs call them; or of Ising spins, integers, with beta",
    )
    parser.add_argument("--array", metavar="NAME", help="which array, where there are several")
    parser.add_argument("--m2", type=float, help="bare mass squared, where the file lacks it")
    parser.add_argument("--lam", type=float, help="coupling λ, where the file lacks it")
    parser.add_argument("--g", type=float, help="g instead of λ: g/4! φ⁴ beside ½ m² φ²")
    parser.add_argument("--kappa", type=float, help="κ instead of m²: the hopping convention")
    parser.add_argument(
        "--convention",
        choices=tuple(CONVENTIONS),
        help="that of the fields: lattice, those of this program; half, those of an action with "
        "½ (∂φ)², which are √2 times as large; hopping, which are 1/√κ times as large (default: "
        "hopping with κ, half with g, else lattice)",
    )
    parser.add_argument("--chains", type=int, help="independent chains, where the file lacks it")
    heat = parser.add_mutually_exclusive_group()
    heat.add_argument("--beta", type=float, help="β of Ising spins, ±1 or 0 and 1")
    heat.add_argument("--temperature", type=float, help="1/β of Ising spins instead")


def _import(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Import an ensemble; return what to print as JSON, and the lines for people.

    Raises `ValueError` where the file holds none, or one of two couplings is missing.
    """
    words = {name: getattr(chosen, name) for name in ("m2", "lam", "g", "kappa")}
    couplings = {name: value for name, value in words.items() if value is not None}
    if couplings and set(couplings) not in PAIRS:
        raise ValueError(
            "--m2 and --lam belong together, or --m2 and --g, or --kappa and --lam; give one pair "
            f"or none, not --{' and --'.join(couplings)}."
        )
    heat = {"beta": chosen.beta, "temperature": chosen.temperature}
    given = {name: value for name, value in heat.items() if value is not None}
    if couplings and given:
        raise ValueError(
            f"--{next(iter(given))} is of the Ising model, --{next(iter(couplings))} of φ⁴; give "
            "one of them."
        )
    if given or (not couplings and holds_spins(chosen.file, chosen.array)):
        return _import_spins(chosen, given)
    told = Numbers(couplings)
    implied = None if told.convention == "lattice" else told.convention
    found = ensembles.bring(
        chosen.file,
        told.action(),
        chosen.chains,
        array=chosen.array,
        convention=chosen.convention or implied,
    )
    return _told(found, ENSEMBLE + found.spec.id)


def _import_spins(
    chosen: argparse.Namespace, given: Mapping[str, float]
) -> tuple[object, list[str]]:
    """Import spins of the Ising model, as `_import`."""
    if "temperature" in given:
        check_range("temperature", given["temperature"], 0.05, 1e9)
    beta = 1 / given["temperature"] if "temperature" in given else given.get("beta")
    found = bring_spins(chosen.file, beta, chosen.chains, array=chosen.array)
    spec, exact = found.spec, found.spec.model.energy_density
    report = {
        "name": spec.name,
        "spec": to_dict(spec),
        "energy": _plain(found.energy),
        "exact_energy": exact,
        "warning": found.warning,
    }
    lines = [f"{spec.title}, {spec.n_samples} configurations: {spec.name}"]
    if found.energy is not None:
        lines.append(f"energy {found.energy} per site, exactly {exact:.5g}")
    if found.warning is not None:
        lines.append(f"Warning: {found.warning}")
    return report, lines


def _export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff data export`."""
    parser.add_argument("name", metavar="NAME", help="lattice configurations: `rgdiff data list`")
    parser.add_argument("file", type=Path, metavar="FILE", help=ENDINGS)


def _export(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Export an ensemble, or the training split of a built-in set of lattice configurations.

    Raises `ValueError` for other data sets.
    """
    check_ending(chosen.file)
    action = action_of(chosen.name)
    if action is None:
        raise ValueError(f"{chosen.name!r} is not a stored set of lattice configurations.")
    if chosen.name.startswith(ENSEMBLE):
        found = ensembles.read(chosen.name.removeprefix(ENSEMBLE))
    else:
        found = _as_ensemble(chosen.name, action)
    ensembles.export(found, chosen.file)
    return _told(found, str(chosen.file))


def _as_ensemble(name: str, action: Phi4) -> Ensemble:
    """Return the training split of a built-in set, which is shuffled, as independent fields."""
    images = load(name, progress=bar).images
    n, size = len(images), images.shape[-1]
    return Ensemble(ImportedSpec(action.m2, action.lam, size, n, n, name, ""), images)


def _told(found: Ensemble, where: str) -> tuple[object, list[str]]:
    """Return the diagnostics and observables of an ensemble, for programs and for people."""
    spec, measured = found.spec, _measured(found)
    diagnostics = {
        "exp_delta_h": found.exp_delta_h,
        "tau_int": found.tau_int,
        "schwinger_dyson": found.identity,
    }
    report = {
        "file": where,
        "id": spec.id,
        "spec": to_dict(spec),
        "acceptance": found.acceptance,
        "step_size": found.step_size,
        "seconds": found.seconds,
        **{name: _plain(value) for name, value in diagnostics.items()},
        "observables": {name: _plain(value) for name, value in measured.items()},
        "warning": found.warning,
    }
    lines = [f"{spec.title}, {spec.n_chains} chains: {where}"]
    if found.acceptance is not None:
        lines.append(
            f"acceptance {found.acceptance:.3f}, ⟨exp(−ΔH)⟩ = {found.exp_delta_h}, "
            f"τ_int(|M|) = {found.tau_int} trajectories"
        )
    if found.identity is not None:
        lines.append(f"Schwinger–Dyson identity {found.identity}, exactly 1")
    lines += [f"{name:26}{value}" for name, value in measured.items()]
    if found.warning is not None:
        lines.append(f"Warning: {found.warning}")
    return report, lines


def _measured(found: Ensemble) -> Mapping[str, Estimate]:
    """Return the observables, none where there are too few configurations for an error."""
    if found.identity is None:
        return {}
    return observables(found.configurations, n_chains=found.n_chains)


def _plain(value: Estimate | None) -> dict[str, object] | None:
    """Return an estimate for JSON, which knows no nan."""
    if value is None:
        return None
    numbers = asdict(value)
    for name in ("value", "error"):
        numbers[name] = numbers[name] if math.isfinite(numbers[name]) else None
    return numbers


COMMANDS: Entries = {
    "generate": Entry(_generate_options, _generate),
    "import": Entry(_import_options, _import),
    "export": Entry(_export_options, _export),
}
