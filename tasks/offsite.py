"""Backup sets off the host: fetched to this machine, copied to a restic repository; and the ways back."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import DeployError, deploy

from webui_stack.artifacts import backup_set, offsite
from webui_stack.artifacts.backup_set import BackupSet, Made, SetError
from webui_stack.ops import run
from webui_stack.render import backup_requests
from webui_stack.settings import sources
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import SecretError

from . import host_packages


@deploy("Off the host")
def copy(settings: Settings, made: Made) -> None:
    """Ensure the set that was `made` is where `backup_fetch` and the restic repositories are; nothing without them.

    Fails with the reason; the set on the host stays good.
    """
    if not settings.runs("data"):
        return
    if folder := fetched(settings):
        offsite.fetch(
            name="Fetch the set to this machine",
            sets=settings.backup_dir,
            made=made,
            folder=str(folder),
            keep=settings.backup_retention,
            recipient=settings.backup_age_recipient,
        )
    if settings.backup_restic_repository:
        offsite.copy(
            name="Copy the set to the restic repository",
            arguments=backup_requests.offsite_copy_request(settings),
            made=made,
        )


def fetched(settings: Settings) -> Path | None:
    """Where this host's sets are on this machine; None without `backup_fetch`."""
    if not settings.backup_fetch:
        return None
    return Path(settings.backup_fetch).expanduser() / host.name.replace("/", "_")  # a connector's: @docker/NAME


def open_repository(settings: Settings) -> None:
    """Ensure the host has what it needs to copy sets to restic repositories by itself; nothing without one."""
    if not settings.backup_restic_repository:
        return
    host_packages.bring_restic()
    # No operation's name is there twice: pyinfra counts by name.
    names = ("Put what opens the restic repository", "Put what opens the second restic repository")
    for key, name, environment in zip(backup_requests.KEYS, names, _environments(settings), strict=False):
        offsite.keep_key(name=name, arguments=backup_requests.offsite_key_request(settings, key, environment))


def bring(settings: Settings, identity: str) -> Settings:
    """Ensure the set to be restored is in `backup_dir`, from this machine (`restore_from`) or the restic repository.

    `identity` is the one of age that decrypts it, "" for none. Returns the settings with that set as `restore_set`.
    Raises `DeployError` when it is not on this machine, or is encrypted and there is no identity.
    """
    if settings.restore_from:
        chosen = _chosen(settings, settings.restore_from)
        if chosen.recipient and not identity:
            raise DeployError(
                f"restore_age_identity: expected the identity of {chosen.recipient}, to which {chosen.path} is "
                "encrypted, got none; set it to its source, 'file:~/backup.key'"
            )
        offsite.send(
            name="Bring the set from this machine",
            chosen=chosen,
            sets=settings.backup_dir,
            identity=SecretStr(identity),
        )
        return settings.model_copy(update={"restore_set": chosen.name})
    if settings.backup_restic_repository:
        host_packages.bring_restic()
        offsite.bring(
            name="Bring the set from the restic repository",
            arguments=backup_requests.offsite_bring_request(settings, _environments(settings)),
        )
    return settings


def set_name(settings: Settings) -> str:
    """The name of the set to be restored, once it is on the host; "newest" where only the host knows it.

    Raises `DeployError` when it is not on this machine.
    """
    return _chosen(settings, settings.restore_from).name if settings.restore_from else settings.restore_set


def _chosen(settings: Settings, folder: str) -> BackupSet:
    try:
        return backup_set.choose(Path(folder).expanduser(), settings.restore_set)
    except SetError as error:
        raise DeployError(f"restore_from: {error}") from None


def _read(source: str) -> str:
    return run.current().once(sources.read_source, source)


def environment(settings: Settings, number: int) -> dict[str, SecretStr]:
    """What opens a restic repository: 0 is the first, and 1 the second. Raises `SecretError`."""
    return sources.restic_environment(settings, _read, number)


def _environments(settings: Settings) -> list[dict[str, SecretStr]]:
    try:
        return sources.restic_environments(settings, _read)
    except SecretError as error:
        raise DeployError(f"nothing was changed\n{error}") from None
