"""Run the command line as ``python -m volumen``; jobs of the plugin start this way."""

import sys

from volumen.cli import main

if __name__ == "__main__":
    sys.exit(main())
