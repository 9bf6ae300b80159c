"""What the survey prints on hosts of the lab, section by section, as it was captured there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tests.defaults import FIXTURES
from webui_stack import docker_config, survey


def _captured(name: str) -> str:
    return (FIXTURES / name).read_text().removesuffix("\n")


_RUNNING = "\n\n".join(
    f"Id={unit}\nActiveState=active\nUnitFileState=enabled" for unit in (survey.DOCKER_UNIT, survey.TIMER_UNIT)
)
_PROJECT = _captured("compose/observe-2.26.1.txt").splitlines()

DEPLOYED = {
    "machine": _captured("machine/debian-13.txt"),
    "engine": _captured("engine/debian-13-docker.io-26.1.5.txt"),
    "docker_config": _captured("docker_config/debian-13-docker.io-26.1.5.txt"),
    "images": "\n".join(line for line in _PROJECT if line.startswith("image ")),
    "containers": "\n".join(line for line in _PROJECT if line.startswith(("network ", "container "))),
    "units": _RUNNING,
    "history": "",
    "files": "",
    "project": "\n".join(line for line in _PROJECT if line.startswith(("hash ", "mounted "))),
}
FRESH = {
    **DEPLOYED,
    "engine": _captured("engine/debian-13-fresh.txt"),
    "docker_config": "",
    "images": "",
    "containers": "",
    "units": "",
    "project": "content /opt/open-webui/.env",
}


def printed(sections: Mapping[str, str]) -> str:
    """The survey as a host prints it."""
    return "".join(
        f"\nsection {name}\n{text}\n\nend\n" if text else f"\nsection {name}\n\nend\n"
        for name, text in sections.items()
    )


# daemon.json of the deployed host.
DAEMON_JSON = _captured("docker_config/daemon.json") + "\n"


def with_daemon_json(text: str) -> str:
    """What the deployed host prints of Docker's configuration, were this its daemon.json."""
    return DEPLOYED["docker_config"].replace(docker_config.sha256(DAEMON_JSON), docker_config.sha256(text))


def parsed(sections: Mapping[str, str], daemon_json: str = DAEMON_JSON) -> survey.Survey:
    """The survey as a run has it: with daemon.json, which is fetched apart."""
    found = survey.parse(printed(sections).splitlines())
    known = found.docker.sha256 == docker_config.sha256(daemon_json)
    return replace(found, docker=replace(found.docker, text=daemon_json if known else None))
