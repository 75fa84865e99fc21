"""What models are called in results, and their digests: the same wherever their files are."""

from pathlib import Path

from rgdiff_core.denoisers.files import pretrained_folder, sha256
from rgdiff_core.training import runs

__all__ = ["model_digest", "model_name", "model_typed"]

SUFFIX, CHECKPOINT = ".safetensors", "checkpoint"


def model_name(word: str) -> str:
    """Return what a model that `open_model` opens is called: a file in the folder of pretrained
    models by its pretrained name, another by its run or the folder around it, and its stem.
    """
    if not word.endswith(SUFFIX):
        return word
    path = Path(word).resolve()
    return _pretrained(path) or f"{_folder(path).name}/{path.stem}"


def model_typed(word: str) -> str:
    """Return a model as it may be typed, without where things are on this machine."""
    if not word.endswith(SUFFIX):
        return word
    path = Path(word).resolve()
    return _pretrained(path) or str(path.relative_to(_folder(path).parent))


def _pretrained(path: Path) -> str:
    """Return the pretrained name of a file, "" of another."""
    known = path.parent.parent == pretrained_folder().resolve()
    return path.parent.name if known and path.name == f"model{SUFFIX}" else ""


def _folder(path: Path) -> Path:
    """Return the run that a file is a checkpoint of, else the folder around it."""
    return path.parent.parent if path.parent.name == CHECKPOINT else path.parent


def model_digest(word: str) -> str:
    """Return the SHA-256 of the file of a model that `open_model` opens."""
    if word.endswith(SUFFIX):
        return sha256(Path(word))
    path = pretrained_folder() / word / f"model{SUFFIX}"
    return sha256(path if path.is_file() else runs.model_path(word))
