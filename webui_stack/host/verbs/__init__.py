"""One module a verb. A verb takes its arguments and a function for events, and returns what JSON can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

from ..typed import Any

_PLACES = {
    "deploy_log": "lease.log",
    "lease_leave": "lease.leave",
    "lease_release": "lease.release",
    "lease_renew": "lease.renew",
    "lease_take": "lease.take",
    "alarm_test": "alarms.test",
    "alarms": "alarms.look",
    "arrival_begin": "arrival.begin",
    "arrival_drop": "arrival.drop",
    "arrival_end": "arrival.end",
    "arrival_part": "arrival.part",
    "backup": "backup.run",
    "backup_ages": "backup_ages.look",
    "backup_sets": "backup_sets.look",
    "cause": "cause.run",
    "compare": "releases.compare",
    "connect": "connect.run",
    "docker": "docker.run",
    "doctor": "doctor.run",
    "drill": "drill.run",
    "drill_scheduled": "drill.scheduled",
    "hand_made": "hand_made.run",
    "images": "images.look",
    "load": "images.load",
    "migrate": "migrate.run",
    "migrate_settle": "migrate.settle",
    "models": "models.look",
    "models_pull": "models.pull",
    "monitor": "monitor.run",
    "offsite_backup": "offsite.back_up",
    "offsite_bring": "offsite.bring",
    "offsite_check": "offsite.check",
    "offsite_copy": "offsite.copy",
    "offsite_key": "offsite.key",
    "packages_install": "packages.install",
    "packages_save": "packages.save",
    "pull": "images.pull",
    "recover": "recover.run",
    "releases": "releases.look",
    "restore": "restore.run",
    "restore_settle": "restore.settle",
    "rollback": "rollback.run",
    "rotate": "rotate.run",
    "running_images": "images.running",
    "save": "images.save",
    "save_settings": "saved_settings.save",
    "secrets": "secrets.run",
    "serving": "serving.run",
    "survey": "survey.run",
    "swarm": "swarm.run",
    "swarm_recover": "swarm.recover",
    "swarm_restore": "swarm_restore.run",
    "swarm_restore_secrets": "swarm_restore.secrets",
    "swarm_restore_settle": "swarm_restore.settle",
    "teardown": "teardown.remove",
    "teardown_look": "teardown.look",
    "up": "up.run",
    "upgrade": "upgrade.run",
    "watch": "watch.run",
}


class _Verbs(Mapping[str, Callable[..., Any]]):
    """The verbs by name. Each is imported when it is asked for: all of them took as long as Python itself to start."""

    def __getitem__(self, name: str) -> Callable[..., Any]:
        module, _, function = _PLACES[name].partition(".")
        verb: Callable[..., Any] = getattr(import_module(f".{module}", __package__), function)
        return verb

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


VERBS = _Verbs()
DETACHED = frozenset(
    {
        "arrival_begin",
        "arrival_drop",
        "arrival_end",
        "arrival_part",
        "backup",
        "docker",
        "drill",
        "drill_scheduled",
        "load",
        "migrate",
        "migrate_settle",
        "models_pull",
        "offsite_backup",
        "offsite_bring",
        "offsite_check",
        "offsite_copy",
        "offsite_key",
        "packages_install",
        "packages_save",
        "pull",
        "recover",
        "restore",
        "restore_settle",
        "rollback",
        "rotate",
        "save_settings",
        "secrets",
        "swarm",
        "swarm_recover",
        "swarm_restore",
        "swarm_restore_secrets",
        "swarm_restore_settle",
        "teardown",
        "up",
        "upgrade",
    }
)
"""The verbs by which a run changes the host: each has a process of its own (`worker.py`)."""
