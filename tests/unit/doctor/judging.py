"""Doctor's rules on a captured host, and on one where nothing is wrong."""

from __future__ import annotations

from typing import Any

from tests.defaults import settings
from tests.doctor_documents import DEPLOYED, Document, changed, having
from webui_stack.doctor import rules
from webui_stack.model import doctor_observed
from webui_stack.model.check import Check


def cured(document: Document) -> Document:
    """The deployed host, had somebody followed all advice."""
    for old, new in {
        '"overcommit_memory":"0"': '"overcommit_memory":"1"',
        "valkey_version:8.1.1": "valkey_version:8.0.12",
        '"package":"8.1.1+dfsg1-3+deb13u3"': '"package":""',
        '"onboarding":true,': "",
        '"CORS_ALLOW_ORIGIN":"*"': '"CORS_ALLOW_ORIGIN":"https://chat.example.org"',
        '"persisted":["JWT_EXPIRES_IN"]': '"persisted":[]',
    }.items():
        document = changed(document, old, new)
    return document


# The deployed host, with what the capture knows nothing of yet.
FINE = having(
    cured(DEPLOYED),
    host={"compose": "2.26.1-4", "mount": "/", "inodes": 16777216, "inodes_free": 12000000},
    backup={
        "disk_kb": 100000000,
        "disk_free_kb": 60000000,
        "mount": "/var/backups",
        "inodes": 1000000,
        "inodes_free": 900000,
        "newest": "20261128T033000Z",
        "timer": "inactive",
        "last_run": "inactive",
        "now_s": 1795944000,
    },
    firewall={"backend": "", "managed": True, "nat": 1, "filter": 3},
    proxy={"version": "v2.11.9 h1:abc="},
    open_webui={"vectors": {"method": "ivfflat", "distance": 700, "original": True, "rows": 9000}},
)


def judged(document: Document, **changes: Any) -> list[Check]:
    return rules.checks(doctor_observed.parse(document), settings(**changes))


def levels(checks: list[Check]) -> dict[str, str]:
    """What is not fine, as `fault` or `advice` by name."""
    return {check.name: "fault" if check.is_fault else "advice" for check in checks if not check.ok}


def tells_alone(row: str, old: str, new: str, level: str, seen: str) -> None:
    """Claim that the host with one thing changed has this one row that is not fine, and what to do about it."""
    checks = judged(changed(FINE, old, new))
    assert levels(checks) == {row: level}
    assert seen in next(check.seen for check in checks if check.name == row)
    assert all(check.next_step for check in checks if not check.ok)
