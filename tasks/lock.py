"""The lock file, written from what runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pyinfra import host, inventory, logger, state
from pyinfra.api import deploy

from webui_stack.model import lock
from webui_stack.model.lock import Lock, LockError, Seen
from webui_stack.ops import facts, operations, run
from webui_stack.settings.model import Settings

from . import preflight, sources


@deploy("Lock")
def record(settings: Settings) -> None:
    """Ensure the lock file says what the targeted hosts run. Changes nothing on them.

    All of them have to run the same, as their settings say. With `--limit`, entries that only other hosts could
    confirm stay. A dry run says what it would write. One operation after the other, because pyinfra ends the
    first on all hosts before it starts the second.
    """
    operations.gate(name="Look at what runs", check=lambda: _look(settings))
    operations.gate(name="Write the lock", check=lambda: _write(settings))


@dataclass
class _Recording:
    """What this run saw on each host, for which lock file; and the files that it has written."""

    seen: dict[str, tuple[Path, Seen]] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)


def _look(settings: Settings) -> list[str]:
    survey = preflight.observation().survey()
    images = facts.running_images(host)
    packages = {} if settings.docker_source == "present" else survey.engine.family
    run.current().once(_Recording).seen[host.name] = (
        sources.lock_path(settings),
        Seen(host.name, sources.references(settings), images, lock.platform(survey.machine), packages),
    )
    return []


def _write(settings: Settings) -> list[str]:
    file, recording = sources.lock_path(settings), run.current().once(_Recording)
    mine = [name for name, (of, _) in recording.seen.items() if of == file]
    targeted = state.activated_hosts | state.failed_hosts
    absent = sorted(target.name for target in targeted if target.name not in recording.seen)
    if absent and state.is_executing:
        return [f"lock: expected to look at every host, got nothing from {', '.join(absent)}; fix that, or use --limit"]
    if absent or file in recording.written:  # a dry run goes through both operations host by host
        return []
    try:
        old = sources.read_lock(file) or Lock()
        everybody = {target.name for target in inventory} == set(recording.seen)
        new = lock.record(
            [recording.seen[target.name][1] for target in inventory if target.name in mine], old, keep=not everybody
        )
    except LockError as error:
        return error.problems
    changes = lock.changes(old, new)
    if state.is_executing:
        recording.written.add(file)
        if changes:
            sources.write_lock(file, new)
    for line in changes:
        host.log(line)
    verb = "wrote" if state.is_executing else "would write"
    said = f"{verb} {file}" if changes else f"{file} says so already"
    host.log_styled(f"{said}: {len(new.images)} images", fg="green", log_func=logger.info)
    return []
