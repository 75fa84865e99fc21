"""How good a model of a lattice theory is."""

__all__ = ()
