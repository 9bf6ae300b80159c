"""A pyinfra inventory of SIMULATED_HOSTS hosts that answer what a lab host was recorded answering (simulation.py)."""

import json
import os
import re
import runpy
from pathlib import Path

_here = Path(__file__).resolve().parent
_recording = json.loads((_here / ".work" / "recording.json").read_text())


def _matcher(command: str) -> re.Pattern[str]:
    # Numbers differ from run to run: a process id, a time.
    return re.compile("^" + re.sub(r"\d{3,}", r"\\d+", re.escape(command)) + "$")


_responses = {_matcher(answer["command"]): answer["stdout"] for answer in _recording}
# The settings of the host that was recorded: with others it would not be as wanted.
_settings = {
    key: value
    for key, value in runpy.run_path(str(_here.parent / "inventories" / "lab.py"))["lab"][0][1].items()
    if not key.startswith("ssh_")
}

simulated = [
    (
        f"@fake/host-{_number:03}",
        # The clock is the recording's, like all that was seen by it: the age of Valkey's last health check, for one.
        {
            **_settings,
            "preflight_max_clock_skew_s": 3600,
            "fake_responses": _responses,
            "fake_delay": 0.05,
            "fake_delay_jitter": 0,
        },
    )
    for _number in range(1, int(os.environ["SIMULATED_HOSTS"]) + 1)
]
