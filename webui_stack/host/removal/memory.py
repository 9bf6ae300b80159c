"""What a host remembers of its deploys (releases.py), as far as a teardown needs it."""

from __future__ import annotations

from collections.abc import Iterator

from ..files import Files

DEFINITION, DEPLOYS = "compose.yaml", ".deploys"
# The second is the first, where a run was killed while it remembered another deploy.
_GOOD = (".good", ".good.old")


def files(of: Files, stack_dir: str, name: str) -> list[str]:
    """Where a remembered deploy may have its file `name`."""
    deploys = of.listdir(f"{stack_dir}/{DEPLOYS}") or []
    folders = [*_GOOD, *(f"{DEPLOYS}/{deploy}" for deploy in deploys)]
    return [f"{stack_dir}/{folder}/{name}" for folder in folders]


def images(of: Files, path: str) -> Iterator[str]:
    """The images in a deploy's file: in each line an id, the reference it had, and the container."""
    for line in (of.read_text(path) or "").splitlines():
        yield from line.split()[:2]


def has_container(of: Files, stack_dir: str, container: str) -> bool:
    """Whether a container was in the deploy that is there, or in one that is remembered."""
    for path in (f"{stack_dir}/{DEFINITION}", *files(of, stack_dir, DEFINITION)):
        lines = (of.read_text(path) or "").splitlines()
        if any(line.endswith(f"container_name: {container}") for line in lines):
            return True
    return False
