"""The command `webui-stack`: a name for each job, and its options by name. pyinfra does the work.

Each verb prints the pyinfra command that it stands for, and becomes that command: its output, its exit status and
Ctrl-C are pyinfra's. Only `new`, `check` and `settings` are done here. A dry run of a deploy tells all that `check`
does.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

import webui_stack
from webui_stack import shipped, starter

DEPLOY = "deploy.py"


@dataclass(frozen=True)
class Given:
    """An option of a verb that gives a setting for this run: `--over HOST` is `restore_over`."""

    option: str
    setting: str
    says: str
    many: bool = False
    """Whether the setting is a list, and the option may be given several times."""
    value: Any = None
    """What a flag sets; None for an option with a value."""
    metavar: str = "NAME"


@dataclass(frozen=True)
class Verb:
    """A deploy file of this project, by the name of its job."""

    file: str
    says: str
    changes: bool = True
    """Whether pyinfra shows its plan and asks before it acts."""
    options: Sequence[Given] = field(default_factory=tuple)


_OVER = Given("--over", "restore_over", "Replace the live data of HOST.", many=True, metavar="HOST")
VERBS: Mapping[str, Verb] = {
    "deploy": Verb(
        DEPLOY,
        "Bring hosts to their settings, and prove that the stack works.",
        options=(Given("--adopt", "stack_adopt", "Take over containers made by hand, with their data.", value=True),),
    ),
    "verify": Verb("runbooks/verify.py", "Prove that deployed stacks work.", changes=False),
    "status": Verb("runbooks/status.py", "Show versions, health, drift and the last deploy.", changes=False),
    "doctor": Verb("runbooks/doctor.py", "Say what is wrong with a stack, and what to do.", changes=False),
    "alarm-test": Verb("runbooks/alarm_test.py", "Send a test message to each receiver of alarms.", changes=False),
    "backup": Verb("runbooks/backup.py", "Make one more backup set on each host.", changes=False),
    "backups": Verb("runbooks/backups.py", "List backup sets: when, size, counts, where.", changes=False),
    "drill": Verb("runbooks/drill.py", "Restore a set into a throw-away stack, and count.", changes=False),
    "restore": Verb(
        "runbooks/restore.py",
        "Bring a stack back from a backup set.",
        options=(
            Given("--set", "restore_set", "The set; without it, the newest."),
            Given("--from", "restore_from", "A set, or a folder of sets, on this machine.", metavar="PATH"),
            _OVER,
        ),
    ),
    "upgrade": Verb(
        "runbooks/upgrade.py",
        "Upgrade to the versions in the settings, or go back by itself.",
        options=(Given("--no-rehearsal", "upgrade_rehearse", "Do not try it on a copy first.", value=False),),
    ),
    "rollback": Verb(
        "runbooks/rollback.py",
        "Go back to an earlier good deploy.",
        options=(Given("--to", "rollback_to", "The deploy; without it, the previous one."), _OVER),
    ),
    "migrate": Verb("runbooks/migrate.py", "Move people's data from SQLite to the stack's Postgres."),
    "rotate": Verb(
        "runbooks/rotate.py",
        "Renew secrets; Valkey is not restarted.",
        options=(Given("--secret", "rotate_secrets", "Which secret.", many=True),),
    ),
    "lock": Verb("runbooks/lock.py", "Write down exactly what runs, so that deploys repeat it.", changes=False),
    "bundle": Verb("runbooks/bundle.py", "Pack locked images and packages for hosts without internet.", changes=False),
    "teardown": Verb(
        "runbooks/teardown.py",
        "Remove the stack; data stay where their host is not named.",
        options=(
            Given("--data-of", "teardown_data", "Remove HOST's data, too.", many=True, metavar="HOST"),
            Given("--backups-of", "teardown_backups", "Remove HOST's backup sets, too.", many=True, metavar="HOST"),
            Given("--docker", "teardown_docker", "Remove Docker where nothing of others is left.", value=True),
        ),
    ),
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(webui_stack.__version__, prog_name="webui-stack")
def main() -> None:
    """Open WebUI with websockets over Valkey, provisioned and proved by pyinfra.

    INVENTORY is a file such as inventories/servers.py. Each verb prints the pyinfra command that it stands for.

    Completion: eval "$(_WEBUI_STACK_COMPLETE=bash_source webui-stack)"; also zsh_source, fish_source.
    """


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def new(folder: Path) -> None:
    """Make a repository for your servers in FOLDER."""
    try:
        made = starter.make(folder)
    except FileExistsError as error:
        raise click.ClickException(str(error)) from None
    for path in made:
        click.echo(f"made {path}")
    click.echo(f"\nNext: change the address in {folder / 'inventories/servers.py'}, then")
    click.echo(f"  cd {shlex.quote(str(folder))} && webui-stack check inventories/servers.py")


@main.command()
def settings() -> None:
    """Print every setting with its default and a comment."""
    click.echo((shipped.path("inventories") / "group_data" / "all.py").read_text(), nl=False)


@main.command()
@click.argument("inventory", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="Only this host or group; may be repeated.")
@click.option("--data", multiple=True, metavar="NAME=VALUE", help="A setting for this run; may be repeated.")
def check(inventory: Path, hosts: tuple[str, ...], data: tuple[str, ...]) -> None:
    """Check the settings of all hosts; contacts none."""
    from webui_stack.inventory import check as checking  # loads pyinfra

    root, file = repository(inventory), inventory.resolve()
    os.chdir(root)
    try:
        problems, count = checking.of_file(os.path.relpath(file, root), hosts, data)
    except checking.CheckError as error:
        raise click.ClickException(str(error)) from None
    for problem in problems:
        click.echo(shipped.as_typed(problem, str(inventory)), err=True)
    if problems:
        raise click.ClickException(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in the settings")
    click.echo(
        f"{count} host{'' if count == 1 else 's'}: all settings are sound (open-webui-stack {webui_stack.__version__})"
    )


def repository(inventory: Path) -> Path:
    """The folder that a run begins in: the nearest one above the inventory with a deploy.py, else the present one."""
    for folder in inventory.resolve().parents:
        if (folder / DEPLOY).is_file():
            return folder
    return Path.cwd()


def command(verb: str, inventory: str, root: Path, given: Mapping[str, Any], options: Sequence[str]) -> list[str]:
    """The pyinfra command, begun in `root`, that a verb stands for; `given` are settings by name."""
    name = VERBS[verb].file
    own = root / name
    file = own if own.is_file() else shipped.path(name)
    data = [word for setting, value in given.items() for word in ("--data", f"{setting}={_written(value)}")]
    return ["pyinfra", *options, inventory, _from(root, file), *data]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _from(root: Path, path: Path) -> str:
    """The path as it is typed in `root`, where it is below it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _make(name: str, verb: Verb) -> click.Command:
    """The command of a verb."""

    def run(inventory: str, **typed: Any) -> None:
        given: dict[str, Any] = {}
        for one in verb.options:
            value = typed[one.setting]
            if value not in (None, (), False):
                given[one.setting] = one.value if one.value is not None else list(value) if one.many else value
        file = Path(inventory)
        root = repository(file) if file.is_file() else Path.cwd()
        shown = os.path.relpath(file.resolve(), root) if file.is_file() else inventory
        limits = [word for host in typed["hosts"] for word in ("--limit", host)]
        more = [word for pair in typed["data"] for word in ("--data", pair)]
        flags = [flag for flag, on in (("--dry", typed["dry"]), ("--diff", typed["diff"])) if on]
        agreed = ["-y"] if typed["yes"] or not verb.changes else []
        words = [*command(name, shown, root, given, [*agreed, *flags]), *more, *limits, *["-v"] * typed["verbose"]]
        _become(words, root)

    parameters: list[click.Parameter] = [click.Argument(["inventory"])]
    parameters += [_option(one) for one in verb.options]
    parameters += [
        click.Option(
            ["--host", "hosts"], multiple=True, metavar="HOST", help="Only this host or group; may be repeated."
        ),
        click.Option(["--data", "data"], multiple=True, metavar="NAME=VALUE", help="A setting for this run."),
        click.Option(["--dry"], is_flag=True, help="Show what would change, and stop."),
        click.Option(["--diff"], is_flag=True, help="Show differences of files."),
        click.Option(["-v", "--verbose"], count=True, help="Show more of what pyinfra does."),
        click.Option(["-y", "--yes"], is_flag=True, hidden=not verb.changes, help="Do not ask before acting."),
    ]
    return click.Command(name, callback=run, params=parameters, help=verb.says)


def _option(one: Given) -> click.Option:
    if one.value is not None:
        return click.Option([one.option, one.setting], is_flag=True, help=one.says)
    return click.Option([one.option, one.setting], multiple=one.many, metavar=one.metavar, help=one.says)


def _become(words: list[str], root: Path) -> None:
    """Print the command, and become it: nothing of this process is left between the operator and pyinfra."""
    there = f"cd {shlex.quote(str(root))} && " if root != Path.cwd() else ""
    click.echo(f"$ {there}{shlex.join(words)}", err=True)
    os.chdir(root)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", *words])  # noqa: S606 a shell would read the words anew


for _name, _verb in VERBS.items():
    main.add_command(_make(_name, _verb))
