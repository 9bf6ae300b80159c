"""A fork of a loaded command line ends as Python ends."""

from __future__ import annotations

import subprocess
import sys

from tests.defaults import ROOT

# Each in a fork of its own, one after the other.
SCRIPT = """
import atexit, os, sys
from tests import forks

def leaves(status):
    raise SystemExit(status)

def fails():
    raise ValueError("odd")

atexit.register(print, "at the exit")
for main in (lambda: None, lambda: leaves(None), lambda: leaves(3), lambda: leaves("in words"), fails):
    if not os.fork():
        forks._end_after(main)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
os._exit(0)
"""


def test_a_fork_has_the_status_and_the_words_of_an_exit_and_runs_its_handlers() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    statuses = done.stdout.split("at the exit\n")
    assert statuses == ["", "0\n", "0\n", "3\n", "1\n", "1\n"]
    assert done.stderr.startswith("in words\nTraceback (most recent call last):\n")
    assert done.stderr.endswith("\nValueError: odd\n")
