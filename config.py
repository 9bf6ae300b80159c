"""pyinfra's own configuration, read from the working directory. Project settings are in inventories/."""

from webui_stack.ops import exit_status, run

# The oldest release whose @fake connector, loops and facts behave as the tests here expect.
REQUIRE_PYINFRA_VERSION = ">=3.10,<4"

exit_status.watch()
run.collect_garbage_rarely()
run.keep_bytecode()
run.ask_less()
