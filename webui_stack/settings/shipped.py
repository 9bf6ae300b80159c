"""Where the project's own files are: in the library's folder where it is installed, beside it in a clone. Pure."""

from __future__ import annotations

from pathlib import Path

_LIBRARY = Path(__file__).resolve().parents[1]


def path(name: str) -> Path:
    """The file or folder of that name, such as `templates`; a wheel has all of them within the library."""
    inside = _LIBRARY / name
    return inside if inside.exists() else _LIBRARY.parent / name
