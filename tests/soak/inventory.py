"""The hosts of a soak's lab in the topology it asks for, with what it wants of all of them and of one."""

import json
import os
import runpy
from pathlib import Path

_file = {"compose": "lab.py", "swarm": "lab_swarm.py"}[os.environ["SOAK_TOPOLOGY"]]
_hosts = dict(runpy.run_path(str(Path(__file__).parents[2] / "inventories" / _file))["lab"])
for _name, _data in _hosts.items():
    _data |= json.loads(os.environ["SOAK_STACK"]) | json.loads(os.environ["SOAK_HOSTS"]).get(_name, {})

lab = list(_hosts.items())
