"""``python -m skvqts``: fit a tokenizer on a bundled set or the user's file."""

import sys

from ._cli.main import main

sys.exit(main())
