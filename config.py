"""pyinfra's own configuration, read from the working directory. Project settings are in inventories/."""

import signal
import sys

# The oldest release whose @fake connector, loops and facts behave as the tests here expect.
REQUIRE_PYINFRA_VERSION = ">=3.10,<4"


def _interrupted(*_: object) -> None:
    # pyinfra 3.10 exits 0 on Ctrl-C (pyinfra_cli/main.py), which a script takes for success.
    print("\ninterrupted; run the same command again to finish", file=sys.stderr)
    sys.exit(128 + signal.SIGINT)


signal.signal(signal.SIGINT, _interrupted)
