"""The hosts of a lab as one swarm, with what one test wants of one host."""

import json
import os
import runpy
from pathlib import Path

_hosts = dict(runpy.run_path(str(Path(__file__).parents[2] / "inventories" / "lab_swarm.py"))["lab"])
for _name, _data in json.loads(os.environ.get("TEST_HOST_DATA", "{}")).items():
    _hosts[_name] |= _data
for _data in _hosts.values():
    _data |= json.loads(os.environ.get("TEST_STACK_DATA", "{}"))

lab = list(_hosts.items())
