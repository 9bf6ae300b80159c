"""Hosts that are saved once for all parts of `make test`, and for the next `make test` of the same code.

A host deployed by this code, and a host with Docker and all images but no stack. A session that finds none makes do
with a bare host. As a module, `python -m tests.lab.saved` saves those that are missing, in a lab of its own.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import tempfile
from pathlib import Path

from lab import engine, snapshots, state
from tests.defaults import ROOT

# All that a first deploy's result depends on. lab/ has the recipes of the images and the versions to pull.
DEPLOYED_FROM = (
    *("webui_stack", "tasks", "templates", "inventories", "lab", "deploy.py", "config.py"),
    *("tests/lab/inventory.py", "tests/lab/docker_alone.py"),
)


def deployed(lab: str) -> str:
    """The key of a host that this very code was deployed to; "" where none is saved."""
    return _saved(lab, deployed_key())


def loaded(lab: str) -> str:
    """The key of a host that has Docker and all images, for stacks that another test deploys bare; "" where none is."""
    return _saved(lab, loaded_key())


def deployed_key() -> str:
    return f"deployed-{_digest()}"


def loaded_key() -> str:
    return f"loaded-{_digest()}"


def _saved(lab: str, key: str) -> str:
    # The lab's own engine stops with the last lab, and another session may be ending it at this moment.
    with state.lock(engine.IN_USE, "Waiting for a lab that is going down", shared=True):
        engine.ensure(lab)
        return key if snapshots.exists(key) else ""


@functools.cache
def _digest() -> str:
    """A hash of all files that count, those not committed as well."""
    total = hashlib.sha256()
    for tree in DEPLOYED_FROM:
        for path in sorted([ROOT / tree, *(ROOT / tree).rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode & 0o100}\0".encode())
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def main() -> None:
    """Ensure both hosts are saved, and no lab is left of it. What deploys print is shown where something fails."""
    from tests.lab import session  # it asks this module for what is saved

    said = io.StringIO()
    try:
        with tempfile.TemporaryDirectory() as sockets, contextlib.redirect_stdout(said):
            lab = session.Lab(Path(sockets))
            if not loaded(session.NAME):
                session.save_loaded(lab)
            if not deployed(session.NAME):
                lab.report("-y", "deploy.py")
                session.save_deployed(lab)
            lab.hang_up()
    except BaseException:
        print(said.getvalue())
        raise
    finally:
        session.run_lab("down")


if __name__ == "__main__":
    main()
