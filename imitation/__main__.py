"""`python -m imitation` is `imitation-lab`."""

import sys

from imitation.cli import main

sys.exit(main())
