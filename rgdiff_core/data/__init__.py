"""Data sets: CIFAR-10, fields of φ⁴ and other lattice theories, photographs, and the user's own
images.

Every set is built once, by download or on the spot, and kept in a cache folder:
`$RGDIFF_CACHE`, or the user's cache folder. Nothing is fetched on import.
"""

from rgdiff_core.data import ensembles
from rgdiff_core.data.arrays import ChooseArray
from rgdiff_core.data.field_sets import FieldSet, GaussianSet, IsingSet
from rgdiff_core.data.field_store import generate
from rgdiff_core.data.folder import (
    BadFiles,
    keep_folder,
    keep_upload,
    register_folder,
    register_upload,
)
from rgdiff_core.data.own import Kept
from rgdiff_core.data.quota import Brought, brought
from rgdiff_core.data.records import DataUnavailable, ImageSet, Progress
from rgdiff_core.data.sets import (
    DatasetInfo,
    action_of,
    available,
    delete,
    field_set_of,
    is_lattice,
    line_of,
    load,
    load_at,
    symmetries_of,
)
from rgdiff_core.data.store import cache_folder

__all__ = [
    "BadFiles",
    "Brought",
    "ChooseArray",
    "DataUnavailable",
    "DatasetInfo",
    "FieldSet",
    "GaussianSet",
    "ImageSet",
    "IsingSet",
    "Kept",
    "Progress",
    "action_of",
    "available",
    "brought",
    "cache_folder",
    "delete",
    "ensembles",
    "field_set_of",
    "generate",
    "keep_folder",
    "keep_upload",
    "is_lattice",
    "line_of",
    "load",
    "load_at",
    "register_folder",
    "register_upload",
    "symmetries_of",
]
