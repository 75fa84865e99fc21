"""A noise colour for the lab: the band images that its noise is painted from, their
amplitudes over the colour's number, and the curve that is drawn on it.
"""

from typing import Any

import torch

import rgdiff_core as rg
from pages._shared.process_choice import MAX_POINTS, ProcessChoice
from rgdiff_core.colors import Color, CurveColor, Matched, White
from rgdiff_core.spectra.bands import Bands, band_share, by_scale, mixed_amplitudes, separable

__all__ = ["color_tables", "curve_header", "painted_from", "plain"]

UNIT_WHITE = White(normalize=False)
FIRST_POINTS = 5


def plain(color: Color) -> Color:
    """Return the colour that a curve is drawn on, or the colour itself."""
    return color.base if isinstance(color, CurveColor) else color


def painted_from(proc: rg.Process) -> tuple[Color, ...]:
    """Return the colours whose noise is sent in bands: white and matched noise, between which the
    strength is dragged; white noise alone where a table holds S; else the colour itself.
    """
    color = plain(proc.color)
    if isinstance(color, White | Matched):
        return UNIT_WHITE, Matched(normalize=False)
    bare = rg.Process(proc.basis, color, proc.schedule, proc.modes)
    return (UNIT_WHITE if separable(bare) else color,)


def color_tables(side: ProcessChoice, proc: rg.Process, bands: Bands) -> dict[str, torch.Tensor]:
    """Return the amplitude of each band of each noise, (Q, R, B), the power of the noise, (Q, B),
    and its share in all power, (Q, B), over the grid of the colour's number.
    """
    tint, colors = side.drag_parameters()[1], [side.color]
    sent = painted_from(proc)
    if tint is not None and (len(sent) == 2 or sent[0] == UNIT_WHITE):
        colors = [tint.turn(side.color, v) for v in tint.grid(tint.value(side.color))]
    variances = [color.variance(proc.modes) for color in colors]
    if len(sent) == 2:
        amplitude = mixed_amplitudes(bands, proc, colors)
        power = torch.stack([_mean(proc, bands, x) for x in variances])
    elif sent[0] == UNIT_WHITE:
        power = torch.stack([bands.at_nodes(x) for x in variances])
        amplitude = power.sqrt()[:, None]
    else:
        amplitude = torch.ones(1, 1, len(bands.nodes))
        power = _mean(proc, bands, variances[0])[None]
    tables = {"tint": amplitude, "noise_power": power}
    if curve_header(proc, bands) is not None:
        tables["share"] = band_share(bands, proc.modes, colors)
    return tables


def _mean(proc: rg.Process, bands: Bands, variance: torch.Tensor) -> torch.Tensor:
    if bands.basis is proc.basis:
        return bands.mean(variance)
    return variance.mean().expand(len(bands.nodes))


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
