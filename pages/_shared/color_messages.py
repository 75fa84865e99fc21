"""A noise colour for the lab: the band images that its noise is painted from, their
amplitudes over the colour's number and over time, and the curve that is drawn on it.
"""

from collections.abc import Sequence
from typing import Any

import torch

import rgdiff_core as rg
from pages._shared.process_choice import MAX_POINTS, ProcessChoice
from rgdiff_core.colors import Color, CurveColor, Matched, MovingColor, White
from rgdiff_core.spectra.bands import Bands, amplitudes_of, band_share, by_scale, separable

__all__ = ["color_tables", "curve_header", "painted_from", "plain", "spectrum_tables"]

UNIT_WHITE = White(normalize=False)
FIRST_POINTS = 5
TIMES = 33  # of the tables of a colour that changes with time


def plain(color: Color) -> Color:
    """Return the colour that a curve is drawn on, or the colour itself."""
    return color.base if isinstance(color, CurveColor) else color


def painted_from(side: ProcessChoice, proc: rg.Process) -> tuple[Color, ...]:
    """Return the colours whose noise is sent in bands: white and matched noise, between which the
    strength is dragged; white noise alone where a table holds S; else the colour itself, or where
    it changes with time what is nearest to it between white and matched noise.

    Arguments:
        proc: the process of the side's last colour.
    """
    ends = (plain(side.color),) if side.start is None else (plain(side.color), side.start)
    smooth = (separable(rg.Process(proc.basis, c, proc.schedule, proc.modes)) for c in ends)
    if len(ends) == 1 and isinstance(ends[0], White | Matched):
        return UNIT_WHITE, Matched(normalize=False)
    if all(smooth):
        return (UNIT_WHITE,)
    return ends if len(ends) == 1 else (UNIT_WHITE, Matched(normalize=False))


def color_tables(side: ProcessChoice, proc: rg.Process, bands: Bands) -> dict[str, torch.Tensor]:
    """Return the amplitude of each band of each noise, (Q, T, R, B), and the power of the noise,
    (Q, T, B), over the grid of the colour's number and over time, one time where the colour stays;
    the last colour's share in all power, (Q, B), and in the logarithm of the power, (T,).

    Arguments:
        proc: the process of the side's last colour.
    """
    sent = painted_from(side, proc)
    by_table = len(sent) == 2 or sent[0] == UNIT_WHITE
    colors = _turned(side) if by_table else [side.color]
    variances = _variances(side, proc, colors)
    every = variances.flatten(0, 1)
    power = _power(proc, bands, every, sent)
    if len(sent) == 2:
        amplitude = amplitudes_of(bands, proc, every)
    elif sent[0] == UNIT_WHITE:
        amplitude = power.sqrt()[:, None]
    else:
        amplitude = torch.ones(1, 1, len(bands.nodes))
    shape = variances.shape[:2]
    return {"tint": amplitude.unflatten(0, shape)} | _spectrum(
        side, proc, bands, colors, power.unflatten(0, shape)
    )


def spectrum_tables(
    side: ProcessChoice, proc: rg.Process, bands: Bands
) -> dict[str, torch.Tensor]:
    """Return the tables of `color_tables` but for the amplitudes, over the whole grid of the
    colour's number, for a page that paints no noise.

    Arguments:
        proc: the process of the side's last colour.
    """
    colors = _turned(side)
    variances = _variances(side, proc, colors)
    power = _power(proc, bands, variances.flatten(0, 1), painted_from(side, proc))
    return _spectrum(side, proc, bands, colors, power.unflatten(0, variances.shape[:2]))


def _turned(side: ProcessChoice) -> list[Color]:
    """Return the last colour over the grid of its number, itself where it has none."""
    tint = side.drag_parameters()[1]
    if tint is None:
        return [side.color]
    return [tint.turn(side.color, v) for v in tint.grid(tint.value(side.color))]


def _times(side: ProcessChoice, proc: rg.Process) -> torch.Tensor:
    return torch.linspace(0, 1, 1 if side.start is None else TIMES).to(proc.noise_variance)


def _variances(side: ProcessChoice, proc: rg.Process, colors: Sequence[Color]) -> torch.Tensor:
    """Return S² of a side with other last colours over time, (Q, T, C or 1, H, W)."""
    ends = colors
    if side.start is not None:
        ends = [MovingColor(side.start, end, side.motion) for end in colors]
    spectra = [color.variance_at(_times(side, proc), proc.modes) for color in ends]
    return torch.stack(torch.broadcast_tensors(*spectra))


def _power(
    proc: rg.Process, bands: Bands, variances: torch.Tensor, sent: Sequence[Color]
) -> torch.Tensor:
    """Return the power of noises of variance (M, C or 1, H, W) in each band, (M, B)."""
    return bands.at_nodes(variances) if sent == (UNIT_WHITE,) else _mean(proc, bands, variances)


def _spectrum(
    side: ProcessChoice,
    proc: rg.Process,
    bands: Bands,
    colors: Sequence[Color],
    power: torch.Tensor,
) -> dict[str, torch.Tensor]:
    still = side.start is None
    motion = torch.ones(1) if still else 1 - side.motion.ordinate(_times(side, proc))
    tables = {"noise_power": power, "motion": motion}
    if curve_header(proc, bands) is not None:
        tables["share"] = band_share(bands, proc.modes, colors)
    return tables


def _mean(proc: rg.Process, bands: Bands, variance: torch.Tensor) -> torch.Tensor:
    if bands.basis is proc.basis:
        return bands.mean(variance)
    return variance.mean((-3, -2, -1))[..., None].expand(-1, len(bands.nodes))


def curve_header(proc: rg.Process, bands: Bands) -> dict[str, Any] | None:
    """Return what the noise spectrum's editor receives, or None where bands are not cut by
    scale.
    """
    if bands.basis is not proc.basis or not by_scale(proc):
        return None
    scales = proc.modes.floored_scale()
    floor = float(scales.min())
    nodes = bands.at_nodes(scales).tolist()
    if bands.discrete:
        places = torch.linspace(0, len(nodes) - 1, FIRST_POINTS).round().unique().long().tolist()
        inner = [nodes[i] for i in places[1:-1]]
    else:
        inner = [floor ** (1 - i / (FIRST_POINTS - 1)) for i in range(1, FIRST_POINTS - 1)]
    return {
        "floor": floor,
        "keep": proc.color.normalize,
        "scales": nodes,
        "points": [[round(s, 4), 0.0] for s in (0.0, *inner, 1.0)],
        "points_max": MAX_POINTS,
    }
