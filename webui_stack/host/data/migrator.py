"""The container that migrates Open WebUI's database in a swarm, where no replica does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..engine import NewContainer, ProgramFailed
from ..errors import HostError
from ..files import Files
from .helper import Helper

_SECRETS = "/run/secrets/open-webui.env"
# Alembic's migrations, which Open WebUI runs when its configuration is loaded (open_webui/config.py, 0.12).
_COMMAND = f'set -a && . {_SECRETS} && set +a && exec python3 -c "import open_webui.config"'
_LINES = 15


class Migrator:
    """Runs in `network`, with the secrets of the stack in `folder`; `tell` gets its last lines where it fails.

    All that it said is in `migration.log` in that folder.
    """

    def __init__(self, helper: Helper, files: Files, folder: str, network: str, tell: Callable[[str], None]) -> None:
        self._helper, self._files, self._folder, self._network, self._tell = helper, files, folder, network, tell

    def run(self, image: str, environment: Mapping[str, str], shared_dir: str = "") -> None:
        """Ensure the database has the schema of an Open WebUI. `shared_dir` is people's folder, "" for none."""
        shared = [f"{shared_dir}:/app/backend/data"] if shared_dir else []
        new = NewContainer(
            image,
            entrypoint=["sh"],
            command=["-c", _COMMAND],
            env=environment,
            volumes=[f"{self._folder}/.env:{_SECRETS}:ro", *shared],
            network=self._network,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        try:
            done = self._helper.run(new)
        except ProgramFailed as error:
            said = self._keep(error.output + error.errors)
            self._tell("open_webui_image: expected it to make its tables, got an error:")
            for line in said[-_LINES:]:
                self._tell(f"  | {line}")
            raise HostError(
                "open_webui_image",
                expected="it to make its tables",
                got=f"exit code {error.exit_code}",
                do="see the lines above",
            ) from None
        self._keep(done.stdout + done.stderr)

    def end(self) -> None:
        """Ensure none is at work on the database: a run that was killed may have left one."""
        self._helper.end()

    def _keep(self, said: bytes) -> list[str]:
        text = said.decode("utf-8", "replace")
        self._files.write(f"{self._folder}/migration.log", text)
        return text.splitlines()
