"""A backup set gets off the host, to this machine and into a restic repository, and comes back onto another host."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.precious import Precious
from tests.lab.session import FRESH, ROOT, SPARE, SSH_CONFIG, Lab, rest

pytestmark = pytest.mark.lab

SETS, REPOSITORY = "/var/backups/open-webui", "/srv/restic"
SECRETS = {"TEST_RESTIC_PASSWORD": "it's a $marker \"of restic", "TEST_STORAGE_KEY": "marker-of-the-storage"}
RESTIC = (
    *("--data", f"backup_restic_repository={REPOSITORY}"),
    *("--data", "backup_restic_password=env:TEST_RESTIC_PASSWORD"),
    *("--data", 'backup_restic_env={"AWS_SECRET_ACCESS_KEY": "env:TEST_STORAGE_KEY"}'),
)
# What the operator would type; the password comes from the file that only root can read.
AS_OPERATOR = f". /opt/open-webui/restic.env; HOME=/root restic --repo {REPOSITORY}"
SAMPLER = "until [ -e /run/sampled ]; do cat /proc/[0-9]*/cmdline; sleep 0.05; done 2>/dev/null; rm /run/sampled"
# Patterns that don't find the command that has them, which sudo writes to the journal.
FIND_SECRETS = r"""
patterns='marker-of-the-storag[e]|marker "of resti[c]'
grep -rlE "$patterns" /etc /home /opt /root /run /srv /tmp /var/backups /var/log /var/tmp
journalctl --quiet --no-pager --output cat | grep -E "$patterns"
true
"""
BRING = "from tasks import offsite, preflight\n\noffsite.bring(preflight.settings(), '')\n"


class Story:
    """A stack with something in it, and the first set of it that went both ways."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.host, self.spare = lab, lab.host(FRESH), lab.host(SPARE)
        self.spare.check_output(f"rm -rf {SETS}")  # of other tests
        self.precious = Precious(lab)
        self.fetched, self.bring = folder / "fetched", folder / "bring.py"
        self.bring.write_text(BRING)
        self.fetch = ("--data", f"backup_fetch={self.fetched}")
        self.outputs: list[str] = []
        sampler = subprocess.Popen(
            ["ssh", "-F", SSH_CONFIG, FRESH, shlex.join(["sudo", "sh", "-c", SAMPLER])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            self.back_up(*self.fetch, *RESTIC, "-vvv", "--diff", "--debug")
        finally:
            self.host.check_output("touch /run/sampled")
            self.arguments_seen, _ = sampler.communicate(timeout=30)
        (self.name,) = sets(self.host)

    def back_up(self, *arguments: str, status: int = 0, **environment: str) -> str:
        return self.run("runbooks/backup.py", *arguments, status=status, **environment)

    def run(self, *arguments: str, status: int = 0, limit: str = FRESH, **environment: str) -> str:
        result = self.lab.run("-y", *arguments, limit=limit, **SECRETS | environment)
        print(result.stdout)
        self.outputs.append(result.stdout)
        assert result.returncode == status
        return result.stdout

    def snapshots(self) -> list[tuple[str, set[str]]]:
        """Who made each snapshot, and its tags."""
        found = json.loads(self.host.check_output(f"{AS_OPERATOR} snapshots --json"))
        return [(one["hostname"], set(one.get("tags") or [])) for one in found]


def shown_in(text: bytes) -> list[str]:
    return [name for name, value in SECRETS.items() if value.encode() in text]


def sets(host: Any) -> list[str]:
    """Everything in the folder of sets: nothing but sets may be there."""
    return sorted(host.check_output(f"ls -A {SETS}").split())


def sums(host: Any, name: str) -> dict[str, str]:
    output = host.check_output(f"cd {SETS}/{name} && sha256sum *")
    return {line.split()[1]: line.split()[0] for line in output.splitlines()}


def own_sums(folder: Path) -> dict[str, str]:
    output = subprocess.run(
        ["sha256sum", *sorted(path.name for path in folder.iterdir())],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {line.split()[1]: line.split()[0] for line in output.splitlines()}


@pytest.fixture(scope="module")
def story(lab: Lab, deployed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    try:
        yield Story(lab, tmp_path_factory.mktemp("offsite"))
    finally:
        for name in (FRESH, SPARE):
            lab.host(name).check_output(f"rm -rf {SETS} {REPOSITORY} /opt/open-webui/restic.*")


def test_a_set_is_fetched_whole_and_for_its_owner_alone(story: Story) -> None:
    folder = story.fetched / FRESH / story.name
    assert own_sums(folder) == sums(story.host, story.name)
    assert len(own_sums(folder)) >= 5
    assert [path.name for path in folder.parent.iterdir()] == [story.name]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent, story.fetched)} == {0o700}
    assert not story.host.file("/var/lib/open-webui-stack.transfer").exists


def test_the_repository_has_the_set_as_it_is_on_the_host(story: Story) -> None:
    assert story.snapshots() == [(FRESH, {"open-webui-stack", story.name})]
    dumped = story.host.check_output(f"{AS_OPERATOR} dump latest {SETS}/{story.name}/open-webui.tar | sha256sum")
    assert dumped.split()[0] == sums(story.host, story.name)["open-webui.tar"]


def test_the_list_of_sets_has_the_set_once_at_all_its_places(story: Story) -> None:
    output = story.run("runbooks/backups.py", *RESTIC, *story.fetch)
    (file,) = (line[13:] for line in output.splitlines() if line.startswith("backup sets: "))
    (one,) = json.loads((ROOT / file).read_text())[FRESH]["sets"]
    assert (one["name"], one["places"], one["faults"]) == (story.name, ["host", "restic", "here"], {})
    output = story.run("runbooks/backups.py", *RESTIC, status=1, TEST_RESTIC_PASSWORD="another-one")
    assert "restic: expected to list snapshots, got Fatal: wrong password" in output


def test_no_secret_is_shown_or_readable_by_others(story: Story) -> None:
    assert b"restic\0backup" in story.arguments_seen, "nothing was sampled"
    assert shown_in(story.arguments_seen) == []
    assert [shown_in(output.encode()) for output in story.outputs] == [[] for _ in story.outputs]
    assert story.host.check_output(FIND_SECRETS).split() == ["/opt/open-webui/restic.env"]
    assert story.host.check_output("stat -c '%a %U' /opt/open-webui/restic.env") == "600 root"


def test_a_wrong_password_fails_with_the_reason_and_costs_no_set(story: Story) -> None:
    output = story.back_up(*RESTIC, *story.fetch, status=1, TEST_RESTIC_PASSWORD="another-one")
    assert "restic: expected to open the repository, got Fatal: wrong password" in output
    assert "another-one" not in output
    first, second = sets(story.host)
    assert first == story.name
    assert own_sums(story.fetched / FRESH / second) == sums(story.host, second)


def test_only_this_hosts_sets_are_forgotten_and_the_timers_are_copied_as_well(story: Story) -> None:
    story.back_up(*RESTIC, *story.fetch, "--data", "backup_keep=2", "--data", "backup_schedule=*-*-* 03:30")
    foreign = [("other-host", {"open-webui-stack", story.name}), (FRESH, set())]
    story.host.check_output(
        f"{AS_OPERATOR} backup --quiet --host other-host --tag open-webui-stack --tag {story.name} /etc/hostname && "
        f"{AS_OPERATOR} backup --quiet --host {FRESH} /etc/hostname"
    )
    story.host.check_output("systemctl start open-webui-backup.service")
    newest = sets(story.host)[-2:]
    mine = [(FRESH, {"open-webui-stack", name}) for name in newest]
    assert sorted(story.snapshots(), key=str) == sorted([*foreign, *mine], key=str)
    assert sets(story.host) == newest
    fetched = sorted(path.name for path in (story.fetched / FRESH).iterdir())
    assert len(fetched) == 2
    assert fetched[-1] == newest[0]  # the timer's set has no operator to fetch it
    story.host.check_output("systemctl disable --quiet --now open-webui-backup.timer")


def test_a_set_that_changed_on_this_machine_does_not_arrive(story: Story, tmp_path: Path) -> None:
    damaged = tmp_path / "set"
    shutil.copytree(max((story.fetched / FRESH).iterdir()), damaged)
    with (damaged / "open-webui.tar").open("r+b") as file:
        file.seek(5000)
        file.write(b"X")
    output = story.run(str(story.bring), "--data", f"restore_from={damaged}", limit=SPARE, status=1)
    assert "open-webui.tar: expected SHA-256" in output
    assert story.spare.run(f"ls -d {SETS}/2*").rc != 0


def test_a_fetched_set_arrives_on_another_host(story: Story) -> None:
    folder = story.fetched / FRESH
    wanted = min(path.name for path in folder.iterdir())
    choice = ("--data", f"restore_from={folder}", "--data", f"restore_set={wanted}")
    story.run(str(story.bring), *choice, limit=SPARE)
    assert sets(story.spare) == [wanted]
    assert sums(story.spare, wanted) == own_sums(folder / wanted)
    assert set(story.spare.check_output(f"stat -c '%a %U' {SETS}/{wanted}/*").splitlines()) == {"600 root"}
    assert story.spare.check_output(f"stat -c '%a %U' {SETS} {SETS}/{wanted}") == "700 root\n700 root"
    assert "is on the host already" in story.run(str(story.bring), *choice, limit=SPARE)
    story.spare.check_output(f"rm -r {SETS}")


def test_another_host_is_told_whose_sets_there_are(story: Story) -> None:
    ssh = f"ssh -F {SSH_CONFIG}"
    copy = f"{ssh} {FRESH} sudo tar -C /srv -c restic | {ssh} {SPARE} sudo tar -C /srv -x"
    subprocess.run(["bash", "-o", "pipefail", "-c", copy], check=True)
    output = story.run(str(story.bring), *RESTIC, limit=SPARE, status=1)
    assert f"expected the set newest of {SPARE} in the restic repository" in output
    assert f"{sets(story.host)[-1]} of {FRESH}" in output
    assert f"{story.name} of other-host" in output


def test_another_host_gets_the_stack_from_the_repository(story: Story) -> None:
    newest = sets(story.host)[-1]
    whose = ("--data", f"restore_restic_host={FRESH}", "--data", f'restore_over=["{SPARE}"]')
    output = story.run("runbooks/restore.py", *RESTIC, *whose, limit=SPARE)
    assert f"{newest} of {FRESH} is here, from the restic repository" in output
    assert f"the data of {newest} is in place" in output
    assert sums(story.spare, newest) == sums(story.host, newest)
    assert shown_in(output.encode()) == []
    assert not story.spare.file("/opt/open-webui/restic.env").exists
    there = Precious.__new__(Precious)
    there.__dict__ |= {**story.precious.__dict__, "host": story.spare}
    there.base = f"http://127.0.0.1:{story.lab.port(SPARE)}"
    there.sign_in()  # the set has no secrets
    there.assert_kept()
    rest(story.spare)
