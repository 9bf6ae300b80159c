"""A new repository for an operator's servers: its files as they are made."""

from __future__ import annotations

from pathlib import Path

import webui_stack

_FILES = Path(__file__).parent / "files"
# Under its own name it would be in force in this repository.
_NAMES = {"gitignore": ".gitignore"}


def make(folder: Path) -> list[Path]:
    """Ensure the folder has a starter's files, and tell which. Raises `FileExistsError` where one of them is there."""
    files = {
        folder / path.relative_to(_FILES).with_name(_NAMES.get(path.name, path.name)): path
        for path in sorted(_FILES.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    for made in files:
        if made.exists():
            raise FileExistsError(f"{made}: expected no such file, got one; choose a new folder")
    for made, source in files.items():
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(source.read_text().replace("{version}", webui_stack.__version__))
    return list(files)
