"""A deploy that changes nothing is short, and loads only what it needs (benchmarks/profile.md)."""

from __future__ import annotations

import subprocess
import sys

from tests.defaults import ROOT

# What a run needs for a table, for a private CA's certificates, and by others of its libraries' ways.
_UNUSED = ("aiohttp", "cryptography.x509", "requests", "rich", "webui_stack.reports.table")
_LOAD = f"""\
import pyinfra_cli, sys
from webui_stack.tasks import backup, deployment, docker, monitor, network, preflight, rollout, stack, swarm, verify
from webui_stack.tasks import watchdog
proof, reports = verify._load()
print([name for name in {_UNUSED!r} if name in sys.modules], bool(proof and reports))
import aiohttp, requests
print(aiohttp.ClientSession.__name__, requests.Session.__name__)
"""


def test_a_deploy_loads_no_library_that_it_does_not_use_and_hides_none() -> None:
    done = subprocess.run([sys.executable, "-c", _LOAD], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["[] True", "ClientSession Session"], done.stderr
