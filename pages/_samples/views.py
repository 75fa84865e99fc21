"""What is measured of samples when dragging stops, for up to five settings side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import streamlit as st
from torch import Tensor

import rgdiff_core as rg
from pages._samples import extras, quality, session
from pages._samples.messages import coloured
from pages._samples.state import SamplesState
from pages._sampling.draw import most
from pages._sampling.models import Source, load, menu
from pages._sampling.setting import GUIDES, MAX_PINS, Request, Setting
from pages._sampling.turns import drawn
from pages._shared import comparisons, plots
from pages._shared.comparisons import Samples
from pages._shared.menus import GRID_HELP, describe
from pages._shared.observables import COMPARED, in_table
from pages._shared.pictures import sheet
from pages._shared.process_choice import points_of
from rgdiff_core.data import DataUnavailable
from rgdiff_core.denoisers import GuidanceCurve
from rgdiff_core.denoisers.guidance import FREE, NULL
from rgdiff_core.schedules import Cutoff
from rgdiff_core.spectra.power import Spectrum, log_distance, power_spectrum
from rgdiff_core.statistics import Estimate

__all__ = ["Column", "results", "words"]

COLUMNS = ("Now", *"ABCD")
COLORS = (plots.ORANGE, plots.BLUE, plots.PURPLE, "#b8860b", plots.GREY)
PICTURES = 16  # of a column
NBSP = "\u00a0"  # a number and its unit stay on one line


@dataclass(frozen=True, eq=False)
class Column:
    """One setting in the comparison.

    Attributes:
        name: "Now", or the letter of a pinned setting.
        request: What is measured.
        source: Its model.
        x: Samples (n, C, H, W).
        color: Of its curve.
        pin: The number of the pinned setting, None for the present one.
    """

    name: str
    request: Request
    source: Source
    x: Tensor
    color: str
    pin: int | None = None

    def has_data_of(self, other: "Column") -> bool:
        """Tell whether it is compared with the same data as another."""
        return (
            self.source.data == other.source.data
            and self.request.setting.couplings == other.request.setting.couplings
            and self.x.shape[1:] == other.x.shape[1:]
        )


@dataclass(frozen=True, eq=False)
class _Data:
    """What samples are compared with: data of their class, where all are of one.

    Attributes:
        images: (N, C, H, W).
        spectrum: Theirs.
        title: Of their column.
        alike: Whether samples are to agree with them.
    """

    images: Tensor
    spectrum: Spectrum
    title: str
    alike: bool

    @classmethod
    def of(cls, columns: Sequence[Column]) -> "_Data":
        source, names = columns[0].source, columns[0].source.denoiser.class_names
        labels = {column.request.setting.class_label for column in columns}
        one = len(labels) == 1
        label = labels.pop() if one else -1
        if len(source.of_class(label)) < 2:  # of a class of which no images are at hand
            one, label = False, -1
        title = f"data, {names[label] if label >= 0 else 'all classes'}" if names else "data"
        return cls(source.of_class(label), source.spectrum(label), title, alike=one)


def words(setting: Setting) -> str:
    """Return a setting in a few lines."""
    side, zoom = setting.side, setting.zoom
    parts = [
        parameter.told(value)
        for parameter, value in zip(side.drag_parameters(), side.drag_values(), strict=True)
        if parameter is not None and value is not None
    ]
    if isinstance(side.schedule, Cutoff):
        heights = ", ".join(f"{y:.3g}" for _, y in points_of(side.schedule))
        parts.append(f"cutoff positions {heights}")
    if zoom is not None:
        parts.append(f"zoom into image {zoom.image} up to {zoom.cutoff:.3g}")
    if setting.class_label >= 0:
        parts.append(f"class {load(setting).denoiser.class_names[setting.class_label]}")
    if setting.guidance != 1:
        guide = GUIDES[FREE if setting.by_free_theory else NULL]
        parts.append(f"guidance {_strength(setting.guidance)} by the {guide}")
    if setting.couplings is not None:
        parts.append("m² = {:.4g}, λ = {:.4g}".format(*setting.couplings).replace("-", "−"))
    sampler = f"{setting.sampler.title}, {setting.steps} steps, {GRID_HELP[setting.grid]['title']}"
    model = menu().get(setting.model, setting.model)
    lines = (model, describe(side.basis, side.noise, side.schedule), *parts, sampler)
    return "  \n".join(lines)


def _strength(guidance: float | GuidanceCurve) -> str:
    if isinstance(guidance, GuidanceCurve):
        return f"through {', '.join(f'{value:.3g}' for value in guidance.values)} over scales"
    return f"{guidance:.3g}"


def results(bench: SamplesState) -> None:
    """Draw the measurements of the present setting and of those that are pinned."""
    st.divider()
    head, button = st.columns([4, 1], vertical_alignment="bottom")
    head.header("Comparison with the data")
    if bench.walk is not None and not load(bench.setting).quick:
        st.caption(
            "The pictures of a walk depend on two samples only: end the walk to measure the model."
        )
        return
    settings = (bench.setting, *bench.pins)
    button.button(
        "Pin this setting",
        icon=":material/keep:",
        width="stretch",
        on_click=session.pin,
        disabled=len(bench.pins) >= MAX_PINS or bench.setting in bench.pins,
        help="Keep it as a column to compare with; up to four, all with the same seed.",
    )
    columns = []
    for index, setting in enumerate(settings):
        try:
            columns.append(_column(index, setting, bench))
        except (DataUnavailable, ValueError, OSError) as error:
            _failed(index, str(error))
    if not columns:
        return
    present = columns[0].pin is None  # can be drawn
    if present:
        extras.zoomed(bench)
    if len(columns) > 1:
        _side_by_side(columns)
    _measurements(columns, bench)
    if present:
        extras.neighbours(bench)
        extras.files(bench)


def _measurements(columns: list[Column], bench: SamplesState) -> None:
    """Draw what is measured of the settings whose data are those of the first."""
    others = [each.name for each in columns if not each.has_data_of(columns[0])]
    columns = [each for each in columns if each.name not in others]
    if others:
        st.caption(
            f"{', '.join(others)} sampled other data than {columns[0].name}: only the pictures "
            "are shown."
        )
    first = columns[0].source
    data = _Data.of(columns) if first.has_data else None
    table = _moments if first.action is None else _observables
    if len(columns) == 1:
        left, right = st.columns(2, gap="large")
        with left:
            _spectra(columns, data)
        with right:
            table(columns, data)
    else:
        _spectra(columns, data)
        table(columns, data)
    if first.action is not None and data is not None:
        comparisons.distribution(_samples(columns), data.images)
    quality.draw([(c.name, c.request.setting) for c in columns], bench.seed)


def _column(index: int, setting: Setting, bench: SamplesState) -> Column:
    source = load(setting)
    n = bench.measured if source.quick else min(bench.n, most(source.denoiser.basis.shape))
    request = Request(setting, max(2, n), bench.seed)
    pin = index - 1 if index else None
    return Column(COLUMNS[index], request, source, drawn(request), COLORS[index], pin)


def _failed(index: int, why: str) -> None:
    """Say why a setting could not be drawn, beside the button that removes a pinned one."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(f"{COLUMNS[index]}: {why}", icon=":material/info:")
        if index:
            _unpin(index - 1)


def _side_by_side(columns: Sequence[Column]) -> None:
    """Draw the first samples of each setting, with what it is and what can be done with it."""
    for place, column in zip(st.columns(len(columns)), columns, strict=True):
        with place.container(border=True):
            st.markdown(f":{'orange' if column.pin is None else 'gray'}-badge[{column.name}]")
            tiles = coloured(column.x[:PICTURES], column.source)
            st.image(
                sheet(tiles, 4, max(1, 96 // column.x.shape[-1])),
                width="stretch",
                alt=f"Samples of {column.name}",
            )
            st.caption(words(column.request.setting))
            if column.pin is not None:
                with st.container(horizontal=True):
                    st.button(
                        "Restore",
                        key=f"samples-restore-{column.pin + 1}",
                        on_click=session.restore,
                        args=(column.pin,),
                        help="Continue with this setting.",
                    )
                    _unpin(column.pin)


def _unpin(pin: int) -> None:
    st.button(
        "Unpin",
        key=f"samples-unpin-{pin + 1}",
        on_click=session.unpin,
        args=(pin,),
        help="Remove from the comparison.",
    )


def _spectra(columns: Sequence[Column], data: _Data | None) -> None:
    comparisons.spectra(_samples(columns), data and data.spectrum)
    st.caption(
        f"Statistics from {len(columns[0].x):,} samples; error bars are one standard error."
    )


def _samples(columns: Sequence[Column]) -> list[Samples]:
    return [Samples(column.name, column.x, column.color) for column in columns]


def _observables(columns: Sequence[Column], data: _Data | None) -> None:
    """Draw the observables of lattice fields, with how far they are from the data's."""
    # Data sets are shuffled: as independent as samples, and then errors are quick.
    known = None if data is None else _measured(data.images)
    measured = {column.name: _measured(column.x) for column in columns}
    _table({name: in_table(name) for name in COMPARED}, known, measured, "data (HMC)")
    if known is not None:
        comparisons.ratios(known, measured, {column.name: column.color for column in columns})
    st.caption(
        "In brackets: the standard error, in units of the last digit. Then the distance from the "
        "data, in standard errors of the difference."
    )


def _measured(x: Tensor) -> Mapping[str, Estimate]:
    return rg.lattice.observables(x, n_chains=len(x))


def _moments(columns: Sequence[Column], data: _Data | None) -> None:
    """Draw mean, spread and distance of the spectrum of images."""
    names = {"mean": "mean", "std": "standard deviation"}
    known = None if data is None else _of_images(data.images)
    measured = {column.name: _of_images(column.x) for column in columns}
    alike = data is None or data.alike
    far = [log_distance(power_spectrum(c.x), data.spectrum) for c in columns] if data else []
    _table(names, known, measured, data.title if data else "", marked=alike, below=_distances(far))
    if not alike:
        st.caption("Samples of one class need not agree with the data of all classes.")
    st.caption(
        "In brackets: the standard error, in units of the last digit. Log distance: root mean "
        "square over scales of log(power/power of the data); below it, what chance alone would "
        "give for samples of the data's spectrum."
    )


def _distances(far: Sequence[Estimate]) -> dict[str, list[str]]:
    """Return the rows of the table that hold distances of spectra, and what chance would give."""
    if not far:
        return {}
    return {
        "spectrum, log distance": [plots.short(each.value) for each in far],
        "the same, expected by chance": [plots.short(each.error) for each in far],
    }


def _of_images(x: Tensor) -> Mapping[str, Estimate]:
    each = x.flatten(1)
    return {"mean": Estimate.of(each.mean(1)), "std": Estimate.of(each.std(1))}


def _table(
    names: Mapping[str, str],
    data: Mapping[str, Estimate] | None,
    measured: Mapping[str, Mapping[str, Estimate]],
    title: str,
    marked: bool = True,
    below: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Draw the table.

    Arguments:
        title: Of the data's column.
        marked: Whether numbers are to agree with the data's, and have their distance beside them.
        below: More rows, by their names, without the data's column.
    """
    head = ["", *([title] if data else []), *measured]
    lines = [f"| {' | '.join(head)} |", "|:--|" + "--:|" * (len(head) - 1)]
    for key, name in names.items():
        cells = []
        known = data.get(key) if data else None
        if data:
            cells.append(plots.bracketed(known) if known else "")
        for column in measured.values():
            beside = known if marked else None
            cells.append(_against(column[key], beside) if key in column else "–")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, texts in below.items():
        lines.append(f"| {name} | {' | '.join(['', *texts] if data else texts)} |")
    st.markdown("\n".join(lines))


def _against(value: Estimate, known: Estimate | None) -> str:
    text = plots.bracketed(value)
    if known is None:
        return text
    away = value.deviation(known)
    number = f"{away:+z.1f}".replace("+0.0", "0.0").replace("-", "−")
    mark = f"{number}{NBSP}σ"
    return f"{text} :{'red' if abs(away) > 3 else 'gray'}[{mark}]"
