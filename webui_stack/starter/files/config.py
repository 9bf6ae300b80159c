"""pyinfra's own configuration, read from the working directory. Settings are in inventories/."""

from webui_stack.ops import exit_status, run

exit_status.watch()
run.collect_garbage_rarely()
run.keep_bytecode()
run.ask_less()
