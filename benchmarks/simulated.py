"""A pyinfra inventory of SIMULATED_HOSTS hosts that answer what a lab host was recorded answering (simulation.py)."""

import json
import os
import re
import runpy
import time
from pathlib import Path

_here = Path(__file__).resolve().parent
_recording = json.loads((_here / ".work" / "recording.json").read_text())
_now = int(time.time())


def _matcher(command: str) -> re.Pattern[str]:
    # Numbers differ from run to run: a process id, a time.
    return re.compile("^" + re.sub(r"\d{3,}", r"\\d+", re.escape(command)) + "$")


def _today(output: str) -> str:
    # A host's clock goes on: a number that was the time when it was recorded is the time now.
    def shifted(number: re.Match[str]) -> str:
        return str(_now) if abs(int(number[0]) - _recording["epoch_s"]) < 3600 else number[0]

    return re.sub(r"\b\d{10}\b", shifted, output)


_responses = {_matcher(answer["command"]): _today(answer["stdout"]) for answer in _recording["answers"]}
# The settings of the host that was recorded: with others it would not be as wanted.
_settings = {
    key: value
    for key, value in runpy.run_path(str(_here.parent / "inventories" / "lab.py"))["lab"][0][1].items()
    if not key.startswith("ssh_")
}

simulated = [
    (
        f"@fake/host-{_number:03}",
        {**_settings, "fake_responses": _responses, "fake_delay": 0.05, "fake_delay_jitter": 0},
    )
    for _number in range(1, int(os.environ["SIMULATED_HOSTS"]) + 1)
]
