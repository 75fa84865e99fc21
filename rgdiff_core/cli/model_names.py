"""What models are called in results, and their digests: the same wherever their files are."""

from pathlib import Path

from rgdiff_core.denoisers.files import pretrained_folder, sha256
from rgdiff_core.training import runs

__all__ = ["model_digest", "model_name", "model_typed"]

SUFFIX = ".safetensors"


def model_name(word: str) -> str:
    """Return what a model that `open_model` opens is called: a file in the folder of pretrained
    models by its pretrained name, another by the folder around it and its stem.
    """
    if not word.endswith(SUFFIX):
        return word
    path = Path(word).resolve()
    if path.parent.parent == pretrained_folder().resolve() and path.name == f"model{SUFFIX}":
        return path.parent.name
    return f"{path.parent.name}/{path.stem}"


def model_typed(word: str) -> str:
    """Return a model as it may be typed, without where things are on this machine."""
    name = model_name(word)
    return f"{name}{SUFFIX}" if word.endswith(SUFFIX) and "/" in name else name


def model_digest(word: str) -> str:
    """Return the SHA-256 of the file of a model that `open_model` opens."""
    if word.endswith(SUFFIX):
        return sha256(Path(word))
    path = pretrained_folder() / word / f"model{SUFFIX}"
    return sha256(path if path.is_file() else runs.model_path(word))
