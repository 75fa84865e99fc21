"""How long a test waits for what takes time: a guard against what hangs, never a goal.

The slowest machine with the busiest neighbours should reach it in no test.
"""

__all__ = ["PATIENCE"]

PATIENCE = 600  # seconds
