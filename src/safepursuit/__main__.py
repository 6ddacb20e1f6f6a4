"""`python -m safepursuit` is the command line."""

import sys

from safepursuit.cli import main

sys.exit(main())
