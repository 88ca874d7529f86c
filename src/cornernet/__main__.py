"""`python -m cornernet` is the command `cornernet`."""

import sys

from cornernet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
