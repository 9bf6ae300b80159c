"""A pyinfra inventory of SIMULATED_HOSTS hosts that answer what a lab host was recorded answering (simulation.py)."""

import json
import os
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

_here = Path(__file__).resolve().parent
# As webui_stack/transport/frame.py has them.
_MARK = r"answer-[0-9a-f]{32}"
_ANSWER = rf"{_MARK} \d+\n(.*)\n{_MARK}"
_recording = json.loads((_here / ".work" / "recording.json").read_text())


def _matcher(command: str) -> re.Pattern[str]:
    # Numbers differ from run to run (a process id, a time), and so does the mark of an answer.
    parts = [re.sub(r"\d{3,}", r"\\d+", re.escape(part)) for part in re.split(_MARK, command)]
    return re.compile("^" + _MARK.join(parts) + "$")


def _marked(answer: Callable[[FakeConnector, str], tuple[bool, CommandOutput]]) -> Any:
    """Recorded answers with the mark of this call, and the length they have here."""

    def marked(self: FakeConnector, command_str: str) -> tuple[bool, CommandOutput]:
        status, output = answer(self, command_str)
        mark, recorded = re.search(_MARK, command_str), re.search(_ANSWER, output.stdout, re.DOTALL)
        if not (mark and recorded):
            return status, output
        text = recorded[1]
        lines = [f"{mark[0]} {len(text.encode())}", *text.split("\n"), mark[0]]
        return status, CommandOutput([OutputLine("stdout", line) for line in lines])

    return marked


FakeConnector._lookup_response = _marked(FakeConnector._lookup_response)  # type: ignore[method-assign]

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
