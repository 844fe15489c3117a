"""`python -m gnref` is the command `gnref`."""

import sys

from gnref.cli import main

if __name__ == "__main__":
    sys.exit(main())
