"""Pretrained models: trained, evaluated, described and installed by one command each."""

__all__ = ()
