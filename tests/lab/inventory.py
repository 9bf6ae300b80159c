"""The test lab's hosts, each set up in another of the ways people have."""

import json
import os
import runpy
from pathlib import Path

_hosts = dict(runpy.run_path(str(Path(__file__).parents[2] / "inventories" / "lab.py"))["lab"])

# Docker's own repository, no published port but on the host's loopback, secrets from the operator.
if (_second := f"{os.environ['LAB_NAME']}-2") in _hosts:
    _hosts[_second] |= {
        "docker_source": "docker-ce",
        "open_webui_bind": "127.0.0.1",
        "verify_url": None,
        "valkey_password": "env:TEST_VALKEY_PASSWORD",
        "open_webui_secret_env": {"OPENAI_API_KEY": 'command:printf %s "$TEST_OPENAI_KEY"'},
        "open_webui_env": {"WEBUI_NAME": 'It\'s a $lab "chat"'},
    }

# Docker keeps images as new hosts do since its version 29.
if (_eleventh := f"{os.environ['LAB_NAME']}-11") in _hosts:
    _hosts[_eleventh] |= {"docker_daemon": {"live-restore": True, "features": {"containerd-snapshotter": True}}}

# What one test wants of one host.
for _name, _data in json.loads(os.environ.get("TEST_HOST_DATA", "{}")).items():
    _hosts[_name] |= _data

lab = list(_hosts.items())
