"""Run the command line: ``python -m skvqts``."""

import sys

from ._cli.main import main

sys.exit(main())
