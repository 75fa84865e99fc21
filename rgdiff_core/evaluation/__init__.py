"""Evaluation: how good a model is, in numbers with errors."""

from rgdiff_core.evaluation.neighbours import Neighbours, nearest
from rgdiff_core.evaluation.phi4 import HeldOut, Quality, held_out, quality

__all__ = ["HeldOut", "Neighbours", "Quality", "held_out", "nearest", "quality"]
