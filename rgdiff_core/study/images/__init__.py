"""The comparison on images."""

__all__ = ()
