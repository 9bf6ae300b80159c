"""Doctor on hosts against each other."""

from __future__ import annotations

from tests.defaults import settings
from tests.unit.doctor.judging import levels
from webui_stack.doctor import fleet
from webui_stack.model import doctor_observed

URL = "https://chat.example.org"


def told(**keys: tuple[str, str | None]) -> dict[str, dict[str, str]]:
    """For each host what is said of its key, from (fingerprint, public URL) by host name."""
    seen = {name: doctor_observed.Observed(key_fingerprint=key) for name, (key, _) in keys.items()}
    wanted = {name: settings(open_webui_public_url=url) for name, (_, url) in keys.items()}
    return {name: levels(fleet.checks(seen, wanted, name)) for name in keys}


def test_hosts_behind_one_url_need_one_key() -> None:
    fault = {"one WEBUI_SECRET_KEY": "fault"}
    assert told(a=("1", URL), b=("2", URL)) == {"a": fault, "b": fault}
    assert told(a=("1", URL), b=("1", URL)) == {"a": {}, "b": {}}


def test_hosts_with_nothing_in_common_are_not_compared() -> None:
    assert told(a=("1", URL), b=("2", "https://other.example.org")) == {"a": {}, "b": {}}
    assert told(a=("1", None), b=("2", None)) == {"a": {}, "b": {}}
    assert told(a=("1", URL), b=("", URL)) == {"a": {}, "b": {}}
