"""Facts: observe a host in one remote command each. Parsing is in the pure modules."""

from __future__ import annotations

from pyinfra.api import FactBase, FactProcessError
from typing_extensions import override

from webui_stack import adoption, lock, survey, symptoms

# A script on stdin; nothing the host exports (REDIS_URL, COMPOSE_FILE) gets into it.
_CLEAN_SHELL = 'env -i PATH="$PATH" HOME="${HOME:-/root}" sh -s'


class Survey(FactBase[survey.Survey]):
    """The host and all that is on it, from `templates.survey_script` on stdin (`_stdin=`)."""

    command = staticmethod(lambda: f"{_CLEAN_SHELL} survey")

    @override
    def process(self, output: list[str]) -> survey.Survey:
        try:
            return survey.parse(output)
        except survey.IncompleteError as error:
            raise FactProcessError(str(error)) from None

    @staticmethod
    @override
    def default() -> survey.Survey:
        return survey.Survey()


class RunningImages(FactBase[dict[str, lock.LocalImage]]):
    """What the stack's containers were made of."""

    command = staticmethod(lambda: lock.OBSERVE)

    @override
    def process(self, output: list[str]) -> dict[str, lock.LocalImage]:
        return lock.parse_running(output)

    @staticmethod
    @override
    def default() -> dict[str, lock.LocalImage]:
        return {}


class HeldImages(FactBase[dict[str, lock.Held]]):
    """Which of the locked images the host has, and what their references mean there."""

    def command(self, images: list[lock.Wanted]) -> str:
        return lock.look_command(images)

    @override
    def process(self, output: list[str]) -> dict[str, lock.Held]:
        return lock.parse_held(output)

    @staticmethod
    @override
    def default() -> dict[str, lock.Held]:
        return {}


class HandMade(FactBase[adoption.HandMade]):
    """What somebody gave a container open-webui of their own: variables (names only), ports; and its version."""

    command = staticmethod(lambda: adoption.COMMAND)

    @override
    def process(self, output: list[str]) -> adoption.HandMade:
        return adoption.parse(output)

    @staticmethod
    @override
    def default() -> adoption.HandMade:
        return adoption.parse([])


class Teardown(FactBase[list[str]]):
    """What goes and what stays, a line each, from `templates.teardown_script` on stdin (`_stdin=`)."""

    command = staticmethod(lambda: f"{_CLEAN_SHELL} teardown")

    @override
    def process(self, output: list[str]) -> list[str]:
        return list(output)

    @staticmethod
    @override
    def default() -> list[str]:
        return []


class Symptoms(FactBase[symptoms.Observed]):
    """What doctor looks at, from `templates.doctor_script` on stdin (`_stdin=`)."""

    command = staticmethod(lambda: f"{_CLEAN_SHELL} doctor")

    @override
    def process(self, output: list[str]) -> symptoms.Observed:
        return symptoms.parse(output)

    @staticmethod
    @override
    def default() -> symptoms.Observed:
        return symptoms.Observed()
