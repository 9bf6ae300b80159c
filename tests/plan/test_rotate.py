"""Secrets are renewed where a host is as its settings say; elsewhere nothing is touched."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plan.conftest import LAB_SETTINGS, Pyinfra, answering, converged, fresh

RENEW = "Rotate | Put new secrets in place"
SUPPLIED = {"valkey_password": "env:VALKEY", "open_webui_secret_key": "env:KEY"}
VALUES = {"VALKEY": "MARKERvalkeyMARKERvalkey", "KEY": "MARKERkeyMARKERkeyMARKERkeyMARKERkey"}
REFUSED = {
    "bare": (fresh(**LAB_SETTINGS), "expected a stack as its settings say, got packages: "),
    "drifted": (
        {**converged(), "open_webui_jwt_expires_in": "1h"},
        "expected a stack as its settings say, got /opt/open-webui/compose.yaml: differs; run deploy.py first",
    ),
    "half restored": (
        answering(converged(), history={"cut_off": "restore"}),
        "restore: expected none that was cut off, got one; run runbooks/restore.py again",
    ),
    "supplied, the same as before": (
        converged(valkey_password="env:VALKEY"),
        "valkey_password: expected another value from its source, got the one in force; change it at its source first",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_touched_where_secrets_can_not_be_renewed(pyinfra: Pyinfra, name: str) -> None:
    host, line = REFUSED[name]
    result = pyinfra({"a": host}, "-y", "-vvv", deploy="runbooks/rotate.py", **VALUES)
    assert result.status == 1
    assert line in result.output
    assert "Success" not in result.said("a")
    assert not [command for command in result.executed("a") if any(word in command for word in ("umask", "flock"))]


def test_a_dry_run_says_that_secrets_would_be_renewed(pyinfra: Pyinfra) -> None:
    hosts = {
        "by default": converged(),
        "no probe": converged(rotate_secrets=["probe_password"]),
        "no postgres": converged(rotate_secrets=["postgres_password"]),
    }
    result = pyinfra(hosts, "--json", deploy="runbooks/rotate.py")
    assert result.changes("by default") == [RENEW]
    assert result.changes("no probe") == []
    assert result.changes("no postgres") == []
    assert "probe_password: there is none, verify_level is not 'user'" in result.output
    assert "postgres_password: there is none, the stack has no Postgres of its own" in result.output


@pytest.mark.parametrize("arguments", [("-y", "-vvv"), ("--dry", "--diff"), ("-y", "--debug-operations")], ids=str)
def test_no_supplied_secret_is_shown(pyinfra: Pyinfra, arguments: tuple[str, ...]) -> None:
    supplied: dict[str, Any] = {**SUPPLIED, "rotate_secrets": ["valkey_password"], "verify_timeout_s": 1}
    result = pyinfra({"a": converged(**supplied)}, *arguments, deploy="runbooks/rotate.py", **VALUES)
    assert "MARKER" not in result.output
