"""`python -m licet` is the command `licet`."""

import sys

from licet.cli import main

if __name__ == "__main__":
    sys.exit(main())
