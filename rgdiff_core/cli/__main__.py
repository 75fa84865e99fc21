"""`python -m rgdiff_core.cli` is `rgdiff`."""

import sys

from rgdiff_core.cli.main import main

__all__ = ()

sys.exit(main())
