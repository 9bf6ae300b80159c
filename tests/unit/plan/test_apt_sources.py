"""apt's files are read by what they mean, and apt's own words say whether to wait, to go on or to fail."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.defaults import ROOT
from webui_stack.plan import apt_sources

REPOSITORY = "https://download.docker.com/linux/debian"
OURS = "/etc/apt/sources.list.d/docker.sources"
MAIN = "/etc/apt/sources.list"
LIST = "/etc/apt/sources.list.d/docker.list"

DEBIANS = "deb http://mirror.example.org/debian trixie main\n"
COMMENTED = f"{DEBIANS}# deb [arch=amd64] https://download.docker.com/linux/debian trixie stable\n"
MIRROR = (
    "deb [ arch=amd64 signed-by=/usr/share/keyrings/docker-archive-keyring.gpg ] "
    "https://mirrors.example.org/docker-ce/linux/debian/ trixie stable # nearer\n"
)
DEB822 = """\
# Docker's, as its documentation has it
Types: deb
URIs:
 https://download.docker.com/linux/debian/
Suites: trixie
Components: stable
# another comment
Signed-By: /etc/apt/keyrings/docker.asc
"""
DISABLED = f"Enabled: no\n{DEB822}"
SHARED = f"""\
Types: deb
URIs: http://mirror.example.org/debian
Suites: trixie
Components: main

{DEB822}"""


# --- Docker's repository among apt's files ------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "replaced", "refused"),
    [
        pytest.param(MAIN, DEBIANS, [], 0, id="Debian's own"),
        pytest.param(MAIN, COMMENTED, [], 0, id="commented out among others"),
        pytest.param(LIST, f"#{MIRROR}", [], 0, id="all commented out"),
        pytest.param(LIST, "", [], 0, id="empty"),
        pytest.param(LIST, f"deb {REPOSITORY} trixie stable", [LIST], 0, id="Docker's, no final newline"),
        pytest.param(LIST, f"deb-src [trusted=yes] {REPOSITORY} trixie stable\n", [LIST], 0, id="source packages"),
        pytest.param(LIST, MIRROR, [LIST], 0, id="a mirror, with another key"),
        pytest.param(LIST, f"#{DEBIANS}{MIRROR}", [LIST], 0, id="a mirror beside a comment"),
        pytest.param(
            LIST,
            "deb https://apt.dockerproject.org/repo debian-stretch main\n",
            [LIST],
            0,
            id="Docker's of before 2017",
        ),
        pytest.param(MAIN, f"{DEBIANS}\n{MIRROR}", [], 1, id="shared, a line"),
        pytest.param("/etc/apt/sources.list.d/all.sources", SHARED, [], 1, id="shared, a stanza"),
        pytest.param(
            "/etc/apt/sources.list.d/d.sources", DEB822, ["/etc/apt/sources.list.d/d.sources"], 0, id="deb822"
        ),
        pytest.param("/etc/apt/sources.list.d/d.sources", DISABLED, [], 0, id="deb822, disabled"),
        pytest.param(OURS, DEB822, [], 0, id="ours"),
        pytest.param(
            LIST, "deb https://packages.example.org/nginx/docker-images trixie main\n", [], 0, id="docker in its name"
        ),
    ],
)
def test_dockers_repository_is_known_by_what_apt_makes_of_it(
    path: str, text: str, replaced: list[str], refused: int
) -> None:
    assert apt_sources.replaced({path: text}, REPOSITORY, OURS) == replaced
    assert len(apt_sources.refusals({path: text}, REPOSITORY, OURS)) == refused


def test_a_shared_file_is_refused_by_file_and_line() -> None:
    assert apt_sources.refusals({MAIN: f"{DEBIANS}\n{MIRROR}"}, REPOSITORY, OURS) == [
        "docker repository: expected it in a file of its own, got https://mirrors.example.org/docker-ce/linux/debian/ "
        "in /etc/apt/sources.list, line 3, among other sources; remove it there, this project adds its own file"
    ]
    (line,) = apt_sources.refusals({"/etc/apt/sources.list.d/all.sources": SHARED}, REPOSITORY, OURS)
    assert "all.sources, line 7," in line


def test_the_address_of_the_settings_is_dockers_and_its_neighbour_is_not() -> None:
    """A second entry for the very repository, with another key, would break apt; one beside it would not."""
    same = "deb [signed-by=/k] http://packages.example.org/linux/debian trixie stable\n"
    beside = "deb http://packages.example.org/linux/debian-security trixie-security main\n"
    assert apt_sources.replaced({LIST: same}, "http://packages.example.org/linux/debian", OURS) == [LIST]
    assert apt_sources.replaced({LIST: beside}, "http://packages.example.org/linux/debian", OURS) == []


def test_options_and_continued_fields_are_read() -> None:
    assert apt_sources.sources({LIST: MIRROR, "/x.sources": DEB822}) == [
        apt_sources.Source(
            LIST,
            1,
            "https://mirrors.example.org/docker-ce/linux/debian/",
            "/usr/share/keyrings/docker-archive-keyring.gpg",
        ),
        apt_sources.Source("/x.sources", 2, f"{REPOSITORY}/", "/etc/apt/keyrings/docker.asc"),
    ]


# --- apt's own words (3.0.4, captured on a lab host) --------------------------------------------------

DPKG_HELD = [
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 127 (unattended-upgr)",
    "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?",
]
LISTS_HELD = [
    "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 142 (apt-get)",
    "E: Unable to lock directory /var/lib/apt/lists/",
]
DEAD = [
    "W: The repository 'http://ppa.example.org/old trixie Release' does not have a Release file.",
    "E: The repository 'http://ppa.example.org/old trixie Release' does not have a Release file.",
    "E: The repository 'http://ppa.example.org/old trixie Release' does not have a Release file.",
]


def test_held_locks_are_waited_for_by_their_holders_names() -> None:
    assert apt_sources.is_locked(DPKG_HELD)
    assert apt_sources.is_locked(LISTS_HELD)
    assert apt_sources.holder(DPKG_HELD) == "unattended-upgr (pid 127), which holds /var/lib/dpkg/lock-frontend"
    assert apt_sources.holder(LISTS_HELD) == "apt-get (pid 142), which holds /var/lib/apt/lists/lock"
    assert apt_sources.holder(
        ["E: Could not get lock /var/lib/dpkg/lock - open (11: Resource temporarily unavailable)"]
    ) == ("another package manager")


def test_no_other_failure_is_waited_for() -> None:
    assert not apt_sources.is_locked(DEAD)
    assert not apt_sources.is_locked(["E: Unable to locate package docker-ce", "Setting up lock-tools"])
    assert not apt_sources.is_locked([])


def test_a_dead_source_is_named_with_its_file_and_line() -> None:
    texts = {MAIN: DEBIANS, "/etc/apt/sources.list.d/old.list": "\ndeb http://ppa.example.org/old/ trixie main\n"}
    assert apt_sources.dead(DEAD, texts) == ["http://ppa.example.org/old/ in /etc/apt/sources.list.d/old.list, line 2"]


def test_what_no_file_has_is_told_in_apts_words() -> None:
    assert apt_sources.dead(DEAD, {}) == list(dict.fromkeys(DEAD))
    unnamed = ["E: The package cache file is corrupted"]
    assert apt_sources.dead(unnamed, {MAIN: DEBIANS}) == unnamed


def test_an_address_that_begins_as_a_dead_one_is_not_dead() -> None:
    texts = {MAIN: "deb http://ppa.example.org/o trixie main\n"}
    assert apt_sources.dead(DEAD, texts) == list(dict.fromkeys(DEAD))


# --- The probe of a new file ---------------------------------------------------------------------------


def test_the_probe_asks_apt_for_the_new_file_alone_and_leaves_nothing(tmp_path: Path) -> None:
    """The very command, with an `apt-get` that says what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "apt-get").write_text(
        "#!/bin/sh\n"
        'for word; do case $word in Dir::Etc::sourceparts=*) ls "${word#*=}"; cat "${word#*=}"/*;; esac; done\n'
        f'echo "$*" >{tmp_path}/asked\n[ ! -e {tmp_path}/refuse ]\n'
    )
    (folder / "apt-get").chmod(0o755)
    new = tmp_path / "docker.sources.new"
    new.write_text("Types: deb\n")
    command = apt_sources.probe_command(str(new))

    def probed() -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{folder}:/usr/bin:/bin", "TMPDIR": str(tmp_path)}
        return subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)

    assert (probed().returncode, probed().stdout) == (0, "docker.sources\nTypes: deb\n")
    assert "Error-Mode=any update" in (tmp_path / "asked").read_text()
    (tmp_path / "refuse").touch()
    assert probed().returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked", "bin", "docker.sources.new", "refuse"]


# --- The key that comes with this project --------------------------------------------------------------


def test_the_key_for_dnf_is_dockers_by_its_fingerprint() -> None:
    """RFC 4880, 12.2: SHA-1 over the public key's packet. Docker's documentation has this fingerprint."""
    text = (ROOT / "templates/docker-ce.asc").read_text(encoding="ascii")
    armored = text.partition("\n\n")[2].partition("\n=")[0]
    packets = base64.b64decode(armored)
    assert packets[0] == 0x99  # an old-format public key, its length in two bytes
    length = int.from_bytes(packets[1:3], "big")
    fingerprint = hashlib.sha1(packets[: 3 + length], usedforsecurity=False).hexdigest()
    assert fingerprint == "060a61c51b558a7f742b77aac52feb6b621e9f35"
    # Nothing else that could sign: its user's id and that one's signature follow.
    at, tags = 0, []
    while at < len(packets):
        tags.append((packets[at] >> 2) & 0xF)
        size = (1, 2)[packets[at] & 3]
        at += 1 + size + int.from_bytes(packets[at + 1 : at + 1 + size], "big")
    assert tags == [6, 13, 2]
