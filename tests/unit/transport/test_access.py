"""Why commands do not run as root on a host, in one line."""

from __future__ import annotations

import pytest

from webui_stack.transport import access
from webui_stack.transport.access import Access

# What `sudo -n true` said on Debian 13 (sudo 1.9.16).
ASKED = "sudo: a password is required"
PLAIN = Access(user="alice", has_sudo=True)


def refusal(seen: Access, *, has_password: bool = False, folder: str = "/tmp") -> str | None:
    return access.refusal(seen, uses_sudo=True, has_password=has_password, folder=folder)


def test_output_is_parsed_between_whatever_a_login_shell_prints() -> None:
    lines = ["Welcome!", "user=alice", "uid=1000", "sudo=/usr/bin/sudo", f"says={ASKED}", "noexec=/tmp", "bye=1"]
    assert access.parse(lines) == Access("alice", has_sudo=True, says=ASKED, noexec=("/tmp",))


@pytest.mark.parametrize(
    ("seen", "has_password", "words"),
    [
        (Access(user="alice"), False, ["expected it on the host, got none", "install sudo"]),
        (Access(user="alice", has_sudo=True, says=ASKED), False, ["no password for alice", "_sudo_password"]),
        (Access(user="alice", has_sudo=True, says=ASKED), True, ["password of alice", "sudoers"]),
        (Access("alice", has_sudo=True, says="alice is not in the sudoers file."), True, ["alice to be allowed"]),
        (Access("alice", has_sudo=True, says=ASKED, noexec=("/tmp",)), True, ["/tmp mounted noexec", "_temp_dir"]),
    ],
)
def test_each_reason_has_its_words(seen: Access, has_password: bool, words: list[str]) -> None:
    said = refusal(seen, has_password=has_password)
    assert said is not None
    assert said.startswith("sudo: expected")
    assert [word for word in words if word not in said] == []


def test_where_access_is_not_the_reason_nothing_is_said() -> None:
    assert refusal(PLAIN) is None
    assert refusal(Access(user="root", is_root=True)) is None
    assert refusal(Access()) is None  # nobody answered
    assert access.refusal(Access(user="alice"), uses_sudo=False, has_password=False, folder="/tmp") is None


def test_a_noexec_folder_matters_only_where_the_helper_lies() -> None:
    elsewhere = Access("alice", has_sudo=True, says=ASKED, noexec=("/tmp",))
    assert "noexec" not in str(refusal(elsewhere, has_password=True, folder="/var/tmp"))
    assert "noexec" in str(refusal(elsewhere, has_password=True, folder="/tmp/mine"))
    assert "noexec" not in str(refusal(elsewhere, has_password=True, folder="/tmpfs"))
