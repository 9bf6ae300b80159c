"""Doctor's rules across hosts: what a host has to share with the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from webui_stack.doctor.rule import THREADS
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Observed
from webui_stack.settings.model import Settings


def checks(seen: Mapping[str, Observed], settings: Mapping[str, Settings], name: str) -> list[Check]:
    """What one host has to share with the others behind the same public URL: the key that signs logins."""
    url, own = settings[name].external_url, seen[name].key_fingerprint
    others = [
        other
        for other in sorted(seen)
        if other != name and seen[other].key_fingerprint and settings[other].external_url == url
    ]
    if not url or not own or not others:
        return []
    different = [other for other in others if seen[other].key_fingerprint != own]
    return [
        Check(
            "one WEBUI_SECRET_KEY",
            not different,
            f"another than {', '.join(different)} behind {url}" if different else f"as {', '.join(others)}",
            "people are logged out from one request to the next: "
            f"give all the same open_webui_secret_key, {THREADS}/12674",
        )
    ]
