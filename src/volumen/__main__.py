"""Run the command line as ``python -m volumen``; jobs of the plugin start this way."""

import signal
import sys

from volumen.cli import main

if __name__ == "__main__":
    # a process that a shell script began in the background is deaf to interrupts, and so are its children
    for name in ("SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    sys.exit(main())
