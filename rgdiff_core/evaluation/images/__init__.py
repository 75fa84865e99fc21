"""How good a model of images is."""

__all__ = ()
