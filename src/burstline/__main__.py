"""`python -m burstline`: the command line."""

import sys

from burstline.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
