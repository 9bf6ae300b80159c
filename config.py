"""pyinfra's own configuration, read from the working directory. Project settings are in inventories/."""

import atexit
import gc
import signal
import sys

# The oldest release whose @fake connector, loops and facts behave as the tests here expect.
REQUIRE_PYINFRA_VERSION = ">=3.10,<4"


def _interrupted(*_: object) -> None:
    # pyinfra 3.10 exits 0 on Ctrl-C (pyinfra_cli/main.py), which a script takes for success.
    print("\ninterrupted; run the same command again to finish", file=sys.stderr)
    sys.exit(128 + signal.SIGINT)


signal.signal(signal.SIGINT, _interrupted)

# A run is one short process that loads 1000 modules and keeps nearly all it makes. Looking for garbage as often as
# Python does by default, and once more through everything at the exit, is a tenth of the time of a short run.
gc.set_threshold(50_000, 20, 20)
atexit.register(gc.freeze)
