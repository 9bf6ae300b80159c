"""pyinfra's own configuration, read from the working directory. Project settings are in inventories/."""

import atexit
import gc

from webui_stack.ops import exit_status

# The oldest release whose @fake connector, loops and facts behave as the tests here expect.
REQUIRE_PYINFRA_VERSION = ">=3.10,<4"

exit_status.watch()

# A run is one short process that loads 1000 modules and keeps nearly all it makes. Looking for garbage as often as
# Python does by default, and once more through everything at the exit, is a tenth of the time of a short run.
gc.set_threshold(50_000, 20, 20)
atexit.register(gc.freeze)
