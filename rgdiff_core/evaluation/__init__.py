"""Evaluation: how good a model is, in numbers with errors."""

from rgdiff_core.evaluation.images.bound import ImageBound, flow_bits, image_bound
from rgdiff_core.evaluation.images.classes import ClassAgreement, class_agreement
from rgdiff_core.evaluation.images.held_out import held_out_bits
from rgdiff_core.evaluation.images.neighbours import Neighbours, nearest
from rgdiff_core.evaluation.images.report import ImageReport, SampleMetrics, evaluate_images
from rgdiff_core.evaluation.lattice.magnetization import (
    Histogram,
    magnetization,
    magnetization_histogram,
    magnetization_limit,
    noised_magnetization,
)
from rgdiff_core.evaluation.lattice.metropolis import (
    MetropolisChain,
    expected_acceptance,
    expected_tau_int,
    independence_metropolis,
)
from rgdiff_core.evaluation.lattice.quality import (
    FlowMetrics,
    HeldOutMetrics,
    WeightedSamples,
    flow_metrics,
    held_out,
    quality,
    weigh,
)
from rgdiff_core.evaluation.lattice.report import LatticeReport, evaluate_lattice
from rgdiff_core.evaluation.lattice.reweighting import reweighted_observables

__all__ = [
    "ClassAgreement",
    "HeldOutMetrics",
    "Histogram",
    "ImageBound",
    "ImageReport",
    "SampleMetrics",
    "LatticeReport",
    "MetropolisChain",
    "Neighbours",
    "FlowMetrics",
    "WeightedSamples",
    "class_agreement",
    "evaluate_images",
    "evaluate_lattice",
    "expected_acceptance",
    "expected_tau_int",
    "flow_bits",
    "held_out",
    "held_out_bits",
    "image_bound",
    "independence_metropolis",
    "magnetization",
    "magnetization_histogram",
    "magnetization_limit",
    "nearest",
    "noised_magnetization",
    "quality",
    "flow_metrics",
    "reweighted_observables",
    "weigh",
]
