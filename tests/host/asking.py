"""What a deploy asks the host's program, as the program has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.host.fake_engine import FakeEngine
from tests.host.fake_system import FakeSystem
from webui_stack.host import protocol
from webui_stack.host.engine import Engine
from webui_stack.host.files import Files
from webui_stack.host.system import System
from webui_stack.host.verbs import survey
from webui_stack.render import survey_requests
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import Supplied

NOTHING = Supplied(None, None, {})


def silent() -> FakeEngine:
    """A Docker that does not answer."""
    engine = FakeEngine()
    engine.docker.down = True
    return engine


def arguments(settings: Settings, supplied: Supplied = NOTHING) -> dict[str, Any]:
    (line,) = survey_requests.survey_request(settings, supplied)
    return dict(protocol.Request.read("survey", line).arguments)


def request(settings: Settings, supplied: Supplied = NOTHING) -> survey.Request:
    asked = arguments(settings, supplied)
    project = asked["project"]
    return survey.Request(**{**asked, "project": project and survey.Project(**project)})


def surveyed(
    settings: Settings, supplied: Supplied = NOTHING, *, system: System | None = None, engine: Engine | None = None
) -> dict[str, Any]:
    """The document as it is sent. On a machine with these files, no programs, and no Docker, where none are given."""
    found = survey.look(
        request(settings, supplied), system or FakeSystem(Path("/"), ip=""), engine or silent(), Files()
    )
    document: dict[str, Any] = json.loads(json.dumps(found))
    return document
