"""The comparison on lattice φ⁴."""

__all__ = ()
