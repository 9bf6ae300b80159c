"""The defaults of `inventories/group_data/all.py`, for tests that change a few of them."""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path
from typing import Any

from webui_stack.settings.model import Settings
from webui_stack.settings.validation import from_data

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures"
ALL_PY = ROOT / "inventories" / "group_data" / "all.py"
DEFAULTS: dict[str, Any] = {
    name: value for name, value in runpy.run_path(str(ALL_PY)).items() if not name.startswith("_")
}


def settings(**changes: Any) -> Settings:
    """The default settings with `changes`.

    A folder of pytest's own is taken for one of the host, though the settings refuse what is below /tmp.
    """
    own = f"{tempfile.gettempdir()}/pytest-"
    folders = {name: value for name, value in changes.items() if str(value).startswith(own) and name.endswith("_dir")}
    rest = {name: value for name, value in changes.items() if name not in folders}
    return from_data({**DEFAULTS, **rest}).model_copy(update=folders)
