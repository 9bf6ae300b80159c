"""Operations pyinfra's library lacks: gates, files replaced together, idempotent compose.

Each one is told how to observe, compares, and then either yields commands or does nothing. An exception
raised while pyinfra executes stops the run for *every* host (seen with 3.10), so a refusal is a
yielded command that fails: only the host it concerns fails.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Collection, Container, Generator, Mapping, Sequence
from typing import Any, TypeVar

from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.operations.util.files import generate_color_diff

from webui_stack import shipped
from webui_stack.documents.document import Saved
from webui_stack.model import compose, swarm
from webui_stack.model import docker_config as configuration
from webui_stack.ops import exit_status, progress
from webui_stack.plan import drift
from webui_stack.settings.sources import HiddenItems
from webui_stack.transport import program, remote

Commands = Generator[StringCommand | FunctionCommand, None, None]
_Work = TypeVar("_Work", compose.Work, swarm.Work)


def _fail(state: State, host: Host, problems: list[str]) -> bool:  # noqa: ARG001
    """Print why, and fail the operation: pyinfra passes the host and heeds the result of a function
    with just these two argument names (pyinfra/api/command.py, 3.10)."""
    for problem in problems:
        host.log_styled(_as_typed(problem), fg="red", log_func=logger.error)
    return False


def _as_typed(problem: str) -> str:
    """The problem, with each runbook that it names as this run's operator starts it."""
    if not shipped.is_installed():
        return problem
    from webui_stack.ops import cli_arguments  # pyinfra_cli makes the standard library's threads gevent's (3.10)

    return cli_arguments.as_typed(problem)


def _refuse(problems: list[str]) -> FunctionCommand:
    """A command that fails with `problems`; a dry run shows them as what would stop the run."""
    if not state.is_executing:
        exit_status.would_fail()
        for problem in problems:
            line = f"would stop here: {_as_typed(problem)}"
            host.log_styled(line, fg="yellow", log_func=logger.warning)
    return FunctionCommand(_fail, (problems,), {})


def only_if(condition: Callable[[], bool]) -> list[Callable[[], bool]]:
    """`_if` of an operation that has a condition of its own, with those of the deploy around it.

    Given alone it would take their place (pyinfra/api/arguments.py, 3.10): a host whose batch is not started
    (`tasks/rollout.py`) would be changed.
    """
    around: Any = host.current_deploy_kwargs or {}
    return [*around.get("_if", []), condition]


@operation()
def gate(check: Callable[[], list[str]], *, at_execution: bool = False) -> Commands:
    """Ensure `check` finds no problem on this host; otherwise the run goes on without the host.

    `check` returns one line per problem (`what: expected, got, what to do`) and may read facts. Never
    changes anything. `at_execution` leaves the check out of a dry run, for what only holds afterwards.
    A check that raises has found a problem: this host is skipped, and not the whole run.
    """
    if at_execution and not state.is_executing:
        host.noop("checked once the changes are made")
        return
    try:
        problems = check()
    except Exception as error:
        logger.debug("a check raised", exc_info=True)
        unexpected = f"unexpected {type(error).__name__}: {error}; --debug shows where: please report it"
        if reason := remote.why_not_root(host):
            problems = [reason]
        elif host in state.failed_hosts:
            yield _refuse([])  # a fact failed, and pyinfra has printed why
            return
        else:
            problems = [unexpected]
    if problems:
        yield _refuse(problems)
    else:
        host.noop("nothing in the way")


@operation()
def files(
    contents: Mapping[str, str] | Callable[[], Mapping[str, str]],
    present: Callable[[], Mapping[str, str]],
    checks: Mapping[str, Callable[[str], str]] | None = None,
    check_all: Callable[[Callable[[str], str]], str] | None = None,
    apply: str | None = None,
    unwanted: Sequence[str] = (),
) -> Commands:
    """Ensure each absolute path holds exactly its text, as root's and 0644, and none is `unwanted`: all or none.

    `contents` may depend on what the operations before it do, such as the engine that is installed: then it is called.
    `present` gives what is there (`survey.Survey.files`). New files are first written beside their places as
    `PATH.new`. For a path in `checks` the shell command it gives for the new file has to succeed. So has the command of
    `check_all`, which asks where a file is now by the path it will have. Then all are renamed into place, so that a
    reader sees the old file or the new one and never half of one; `apply`, a shell command, follows in the same remote
    command, which a lost connection does not cut in two. Folders are made when missing. Texts travel on stdin: nothing
    is left in a temporary folder. Nothing happens when every file is as wanted.

    With `--diff` the changed lines are shown, so no text may hold a secret.
    """
    there = present()
    wanted = contents() if callable(contents) else contents
    changed = {path: text for path, text in wanted.items() if there.get(path) != text}
    removed = [path for path in unwanted if path in there]
    if not changed and not removed:
        host.noop("all files are as wanted")
        return

    if state.config.DIFF:
        for path, text in [*changed.items(), *((path, "") for path in removed)]:
            host.log(f"{path}:")
            for line in generate_color_diff(there.get(path, "").splitlines(), text.splitlines()):
                logger.info(f"  {line}")

    for path, text in changed.items():
        new = shlex.quote(f"{path}.new")
        folder = shlex.quote(posixpath.dirname(path))
        yield StringCommand(
            f"umask 022 && mkdir -p {folder} && rm -f {new} && cat > {new} && chown 0:0 {new} && chmod 644 {new}",
            _stdin=text,
        )
    new_files = " ".join(shlex.quote(f"{path}.new") for path in changed)
    commands = [check(f"{path}.new") for path, check in (checks or {}).items() if path in changed]
    if check_all:
        commands.append(check_all(lambda path: f"{path}.new" if path in changed else path))
    for command in commands:
        yield StringCommand(f"{command} || {{ rm -f {new_files}; exit 1; }}")
    renames = [shlex.join(["mv", "-f", f"{path}.new", path]) for path in changed]
    renames += [shlex.join(["rm", "-f", *removed])] if removed else []
    # First onto the disk: a power cut must not leave an empty file under a name that counts.
    synced = [f"sync {new_files}"] if changed else []
    yield StringCommand(" && ".join([*synced, *renames, *([apply] if apply else [])]))


@operation()
def docker_config(observe: Callable[[], configuration.Plan]) -> Commands:
    """Ensure Docker runs with the daemon.json of a plan; the keys of others, its mode and its owner stay.

    `observe` gives the plan (`webui_stack.model.docker_config`); the verb `docker` of the host's program carries it
    out. The file may have a secret, so it travels in the verb's request alone. Docker restarts only where a reload is
    not enough. When Docker does not run with the new file, the operation fails, with the earlier file back and Docker
    started again. It tells what stays as the host has it, and which containers a restart stops. With `--diff` only the
    keys we want are shown.
    """
    try:
        plan = observe()
    except configuration.DaemonJsonError:
        host.noop("a gate has refused this host")
        return
    for line in plan.told:
        host.log_styled(line, fg="yellow", log_func=logger.warning)
    if plan.action == "nothing":
        host.noop("daemon.json is as wanted")
        return
    if plan.stops:
        host.log_styled(f"docker: restarts; this stops {', '.join(plan.stops)}", fg="yellow", log_func=logger.warning)
    if state.config.DIFF:
        host.log(f"{configuration.DAEMON_JSON}:")
        for line in generate_color_diff(*(text.splitlines() for text in plan.diff)):
            logger.info(f"  {line}")
    yield FunctionCommand(_ask, ("docker", HiddenItems(configuration.request(plan))), {})


@operation(is_idempotent=False)
def backup(arguments: Mapping[str, Any], made: Callable[[Any], None]) -> Commands:
    """Ensure there is one more backup set on the host; `arguments` are `backup_requests.backup_request`.

    The verb `backup` of the host's program makes it, and goes on when this run is cut off. `made` gets its name. Fails,
    with every earlier set as it was, where the set could not be completed and read back.
    """
    yield FunctionCommand(_ask, ("backup", HiddenItems(arguments), made), {})


@operation(is_idempotent=False)
def rotate(arguments: HiddenItems) -> Commands:
    """Ensure the stack's secrets are new and in force; `arguments` are `secrets_requests.rotate_request`.

    The verb `rotate` of the host's program renews them, and goes on when this run is cut off. Fails where Open WebUI
    does not get healthy with the new ones: the old ones are in force again then.
    """
    yield FunctionCommand(_ask, ("rotate", arguments), {})


@operation(is_idempotent=False)
def migrate(arguments: Mapping[str, Any]) -> Commands:
    """Ensure people's rows are in the stack's own Postgres; `arguments` are `stack_requests.migrate_request`.

    The verb `migrate` of the host's program moves them, and goes on when this run is cut off. Open WebUI is stopped
    then. Fails where a row can't be moved: Open WebUI runs as before then.
    """
    yield FunctionCommand(_ask, ("migrate", HiddenItems(arguments)), {})


@operation(is_idempotent=False)
def migrate_settle(stack_dir: str) -> Commands:
    """Ensure nothing on the host tells of a migration any more, by the verb of that name of the host's program."""
    yield FunctionCommand(_ask, ("migrate_settle", HiddenItems({"stack_dir": stack_dir})), {})


@operation(is_idempotent=False)
def recover(arguments: Mapping[str, Any]) -> Commands:
    """Ensure no change of the stack on the host is cut off; `arguments` are `stack_requests.recover_request`.

    The verb `recover` of the host's program ends it: forward where what was cut off is healthy, else back to what ran
    before. Fails where neither can be.
    """
    yield FunctionCommand(_ask, ("recover", HiddenItems(arguments)), {})


@operation(is_idempotent=False)
def rollback(arguments: Mapping[str, Any]) -> Commands:
    """Ensure an earlier release is in force; `arguments` are `stack_requests.rollback_request`.

    The verb `rollback` of the host's program does it, and goes on when this run is cut off. Does nothing where that
    release is in force. Fails, with what ran before running on, where the release does not get healthy.
    """
    yield FunctionCommand(_ask, ("rollback", HiddenItems(arguments)), {})


@operation(is_idempotent=False)
def restore(arguments: HiddenItems, verb: str) -> Commands:
    """Ensure the stack's data are those of a backup set; `arguments` are the request for `verb` (`stack_requests`).

    The verb `restore` of the host's program swaps them, in a swarm `swarm_restore`, and goes on when this run is cut
    off. It makes a set of what is replaced first. Fails, with what was there in place, where the set can't be used or
    the stack does not get healthy.
    """
    yield FunctionCommand(_ask, (verb, arguments), {})


@operation(is_idempotent=False)
def settle_restore(arguments: HiddenItems, verb: str) -> Commands:
    """Ensure nothing is left of data that restores by `verb` have replaced; `arguments` are those of `restore`."""
    yield FunctionCommand(_ask, (f"{verb}_settle", arguments), {})


@operation(is_idempotent=False)
def restore_secrets(arguments: HiddenItems) -> Commands:
    """Ensure a host whose swarm's stack was never deployed has the secrets of a set; `arguments` as for `restore`."""
    yield FunctionCommand(_ask, ("swarm_restore_secrets", arguments), {})


@operation(is_idempotent=False)
def teardown(arguments: Mapping[str, Any]) -> Commands:
    """Ensure nothing is left on the host of what this project made there, but what `arguments` keep.

    These are `webui_stack.plan.teardown.request`; the verb `teardown` of the host's program decides and removes. It
    goes on when this run is cut off, and tells of each thing what became of it. Fails where something could not be
    removed.
    """
    yield FunctionCommand(_ask, ("teardown", HiddenItems(arguments)), {})


@operation()
def secrets(
    request: Callable[[], HiddenItems], stale: Callable[[], Collection[str]], refused: Callable[[], str]
) -> Commands:
    """Ensure the stack's secrets exist on the host; made once, then kept.

    The verb `secrets` of the host's program makes them; `stale` tells which files it would change, `refused` why it
    can't (`survey.Survey`). Changes when a secret is missing, was supplied with another value, or a file derived from
    one differs in content, mode or owner. `request` is `secrets_requests.secrets_request`: it may hold supplied
    secrets, so it travels in the verb's request alone. Fails when a secret on the host can't be used, naming its file.
    """
    if why := refused():
        yield _refuse([why])
    elif stale():
        yield FunctionCommand(_ask, ("secrets", request()), {})
    else:
        host.noop("all secrets are in place")


@operation()
def images(references: Sequence[str], present: Callable[[], Container[str]], logins: HiddenItems) -> Commands:
    """Ensure the images are on the host; the verb `pull` of the host's program pulls those that `present` lacks.

    It goes on when this run is cut off. `logins` are `secrets_requests.registry_logins`: they travel in the verb's
    request alone, and no file of the host has them. Fails as `docker pull` does.
    """
    there = present()
    missing = [reference for reference in references if reference not in there]
    if not missing:
        host.noop("all images are on the host")
        return
    yield FunctionCommand(_ask, ("pull", HiddenItems({"references": missing, "logins": logins})), {})


@operation()
def models(missing: Callable[[], Sequence[str]], request: Callable[[Sequence[str]], Mapping[str, Any]]) -> Commands:
    """Ensure the stack's Ollama has its models; the verb `models_pull` of the host's program pulls the `missing` ones.

    It goes on when this run is cut off, and tells how far it is. `request` is `stack_requests.models_request`. Fails
    where a model can't be had: the stack serves all the same, without it.
    """
    wanted = missing()
    if not wanted:
        host.noop("Ollama has its models")
        return
    for model in wanted:
        host.log(f"{model} is missing")
    yield FunctionCommand(_ask, ("models_pull", HiddenItems(request(wanted))), {})


@operation()
def saved_settings(
    observe: Callable[[], Saved | None], request: Callable[[Mapping[str, str]], Mapping[str, Any]]
) -> Commands:
    """Ensure Open WebUI has saved the values of `open_webui_saved`; the verb `save_settings` saves those that differ.

    `observe` (`survey.Survey.saved`) tells which ones do. `request` is `secrets_requests.save_settings_request` of the
    marks of the values that were seen. Nothing else that admins saved changes, and nothing happens where all is saved
    so. Fails where Open WebUI does not run or does not save, where its database can't be read, and where a value was
    changed meanwhile.
    """
    found = observe()
    if found is None and not state.is_executing:
        host.noop("compared once Open WebUI runs")
        return
    if found is None:
        yield _refuse(["open_webui_saved: expected Open WebUI to run, got no container that does; deploy again"])
        return
    if found["failed"] and state.is_executing:
        yield _refuse([f"open_webui_saved: {found['failed']}"])
        return
    lines = drift.of_saved(found)
    if not lines:
        host.noop("all is saved as wanted")
        return
    for line in lines:
        host.log(line)
    seen = {one["key"]: one["seen"] for one in found["differences"]}
    yield FunctionCommand(_ask, ("save_settings", HiddenItems(request(seen))), {})


@operation()
def services(
    observe: Callable[[], compose.Observed],
    directory: str,
    images: Mapping[str, str],
    request: Callable[[Sequence[compose.Work]], Mapping[str, Any]],
    upgrades: bool = False,
) -> Commands:
    """Ensure the compose project's services run as wanted, each container healthy.

    `docker compose up --wait` runs only when it has work: a service's definition (environment and
    secrets included), image, state or network differs from its container. The reasons are logged.
    `observe` (`survey.Survey.services`) tells what is wanted even before it is on the host, so that a dry
    run predicts the real one. `request` gives the arguments of the verb `up` of the host's program, which does the
    work. It goes on when this run is cut off. When a container does not get healthy, it returns to the last good
    deploy, and the operation fails then. Where this `upgrades`, the verb is `upgrade`: it may change the form of the
    data, and puts them back. Whether a container of another origin may be replaced is preflight's
    question (`webui_stack.plan.adoption`).

    Why not pyinfra's `docker.compose`: it always runs and always reports a change (3.10).
    """

    verb = "upgrade" if upgrades else "up"

    def act(work: Sequence[compose.Work]) -> FunctionCommand:
        return FunctionCommand(_ask, (verb, HiddenItems(request(work))), {})

    yield from _brought_up(compose.pending(observe(), directory, images), act)


@operation()
def stack(
    pending: Callable[[], Sequence[swarm.Work]], request: Callable[[Sequence[swarm.Work]], Mapping[str, Any]]
) -> Commands:
    """Ensure the stack runs in the swarm as wanted, each of its tasks healthy.

    Deployed only where `pending` gives reasons, which are logged. `request` gives the arguments of the verb `swarm` of
    the host's program, which does the work, and goes on when this run is cut off. It returns to the last good deploy
    when not all gets healthy, and the operation fails then.
    """
    yield from _brought_up(pending(), lambda work: FunctionCommand(_ask, ("swarm", HiddenItems(request(work))), {}))


@operation(is_idempotent=False)
def recovered_stack(request: Callable[[], Mapping[str, Any]]) -> Commands:
    """Ensure an upgrade of the stack in the swarm that was cut off is ended: it stays where it serves, or is undone.

    The verb `swarm_recover` of the host's program does that. `request` is `stack_requests.swarm_request`.
    """
    yield FunctionCommand(_ask, ("swarm_recover", HiddenItems(request())), {})


def _brought_up(work: Sequence[_Work], act: Callable[[Sequence[_Work]], StringCommand | FunctionCommand]) -> Commands:
    if host in state.failed_hosts:
        # A fact had no answer, and what stood for it is no reason to replace a container. pyinfra has failed the host,
        # and would run what this operation yields all the same (pyinfra/api/operations.py, 3.10).
        yield _refuse([])
        return
    if not work:
        host.noop("every service runs as wanted")
        return
    for item in work:
        host.log(str(item))
    yield act(work)


def _ask(
    state: State, host: Host, verb: str, arguments: HiddenItems, answered: Callable[[Any], None] = lambda _: None
) -> bool:
    """Run a verb of the host's program, and show what it says while it is at work. `answered` gets its result."""
    try:
        answered(
            program.call(
                host, verb, arguments, lambda event: host.log(progress.line(event.text, event.done, event.total))
            )
        )
    except remote.RemoteError as error:
        return _fail(state, host, [str(error)])
    return True
