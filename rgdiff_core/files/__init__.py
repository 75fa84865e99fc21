"""Files: what others wrote, read with limits, and what a disk or a kill may have damaged."""

__all__ = ()
