"""Settings that several tests of the rendered project begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.render.projects import PEM, PROXIED


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Any]:
    """Settings of a proxy with a certificate of the operator's."""
    chain = tmp_path / "chain.pem"
    chain.write_text(PEM)
    return {
        **PROXIED,
        "proxy_tls": "files",
        "proxy_certificate": str(chain),
        "proxy_certificate_key": "env:X",
    }
