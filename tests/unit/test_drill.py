"""What a drill has found is shown line by line; a host that can't say is no fault of the set."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.defaults import ROOT

# `tasks` change the standard library's threads (gevent), so they are not imported by the tests themselves.
SCRIPT = """
import json
from types import SimpleNamespace
from webui_stack.tasks import drill
from tests.defaults import settings
from webui_stack.host.protocol import Event
from webui_stack.transport.remote import RemoteError

def call(_host, verb, arguments, on_event):
    assert (verb, arguments["restore_set"]) == ("drill", "newest")
    on_event(Event("drill: reading x"))
    if answer is None:
        raise RemoteError("docker: expected an answer to GET /info, got none")
    return answer

said, kept = [], []
drill.host = SimpleNamespace(name="h", log=said.append)
drill.preflight.observation = lambda: SimpleNamespace(host=None)
drill.program.call = call
drill.reports.add = lambda kind, _, checks: kept.append([str(check) for check in checks])
found = []
fault = {"name": "chats", "word": "fault", "seen": "expected 2, got 1"}
for answer in ([{"name": "users", "word": "ok", "seen": "3, as in the manifest"}, fault], None):
    found.append(drill._problems(settings()))
own = drill.run(settings(database_url="env:URL"), remembers=False)
print(json.dumps({"found": found, "said": said, "kept": kept, "own": [str(check) for check in own]}))
"""


def test_findings_are_told_and_reported_and_faults_stop_the_run() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["found"] == [
        ["failed  chats: expected 2, got 1"],
        ["docker: expected an answer to GET /info, got none"],
    ]
    assert told["said"][1:4] == [
        "drill: reading x",
        "ok      users: 3, as in the manifest",
        "failed  chats: expected 2, got 1",
    ]
    assert told["kept"] == [["users: 3, as in the manifest", "chats: expected 2, got 1"]], "a host's error is no check"
    assert told["own"] == [
        "set: expected a database of the stack's own, got database_url; try out its backup where that is made"
    ]
