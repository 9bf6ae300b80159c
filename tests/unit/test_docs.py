"""What the docs and the example inventories say of settings, modules and places is so."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import DEFAULTS, ROOT
from webui_stack.host.journal import OLD_MARK
from webui_stack.host.verbs import DETACHED, VERBS, recover
from webui_stack.inventory.data import KEY
from webui_stack.settings import consistency
from webui_stack.settings.errors import EVERYDAY_WORDS, SettingsError
from webui_stack.settings.model import Settings
from webui_stack.settings.validation import from_data

EXAMPLES = sorted((ROOT / "inventories").glob("*.example.py"))
_ELSEWHERE = {"host", "starter", "tasks"}
LIBRARY = [
    path
    for path in (ROOT / "webui_stack").glob("*/*.py")
    if path.parent.name not in _ELSEWHERE and path.stem != "__init__"
]
TASKS = sorted((ROOT / "tasks").glob("[!_]*.py"))
HOST_MODULES = sorted((ROOT / "webui_stack/host").rglob("*.py"))
DOCS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts),
]


# A value that is offered, not given: `# "key": ...`, in blocks of lines that belong together.
OFFERED = re.compile(r'(?m)^ *# "\w+": .*\n(?:^ *# "\w+": .*\n)*')


def hosts(inventory: Path) -> dict[str, dict[str, Any]]:
    """Name -> data of every host in an inventory file."""
    groups = [value for name, value in runpy.run_path(str(inventory)).items() if not name.startswith("_")]
    return {name: data for group in groups if isinstance(group, list) for name, data in group}


def problems(inventory: Path) -> list[str]:
    checked: dict[str, Settings] = {}
    for name, data in hosts(inventory).items():
        try:
            checked[name] = from_data({**DEFAULTS, **data})
        except SettingsError as error:
            return error.problems
    return consistency.swarm_problems(checked, checked)


def offers(text: str) -> Iterator[str]:
    """The text with one of its blocks of offered values given, each block in turn."""
    for block in OFFERED.finditer(text):
        yield text[: block.start()] + block[0].replace("# ", "", block[0].count("\n")) + text[block.end() :]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_sound(example: Path) -> None:
    assert hosts(example)
    assert problems(example) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_what_an_example_offers_is_sound(example: Path, tmp_path: Path) -> None:
    for number, text in enumerate(offers(example.read_text())):
        path = tmp_path / f"{number}.py"
        path.write_text(text)
        assert problems(path) == [], text


def test_a_wrong_offer_is_found(tmp_path: Path) -> None:
    (text,) = offers('hosts = [("a", {\n    # "open_webui_replicas": 2,\n})]\n')
    path = tmp_path / "wrong.py"
    path.write_text(text)
    assert problems(path) == [
        "public_url: expected the proxy's URL for open_webui_replicas = 2, got None; only the proxy spreads people "
        "over them"
    ]


def named(text: str) -> set[str]:
    """The settings that a text names in code: `like_this`, `like_this = 3`, `--data like_this=3`, or a dict's key."""
    words = {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"^\w+(?= = |$)", code)}
    return words | set(re.findall(r"--data '?(\w+)=", text)) | set(re.findall(r'(?m)^"(\w+)": ', text))


def unknown(name: str) -> bool:
    """Whether the settings' own check takes the name for a setting there is not."""
    try:
        from_data({name: None, **DEFAULTS})
    except SettingsError as error:
        return any(problem.startswith(f"{name}: ") for problem in error.problems)
    return False


METRIC = re.compile(r"\bopen_webui_stack_[a-z_]+")


def looked_at() -> set[str]:
    """The names of what the monitor looks at, as its page lists them; those of kinds end in _."""
    page = (ROOT / "docs/how-to/monitoring.md").read_text()
    table = page.partition("## What is looked at")[2].partition("\n\n")[2].partition("\n\n")[0]
    return set(re.findall(r"`([a-z_]+)\*?`", table))


def test_a_setting_that_is_named_exists() -> None:
    # `image`, an everyday word, is a row of doctor's.
    others = {path.stem for path in (*LIBRARY, *HOST_MODULES, *TASKS)} | EVERYDAY_WORDS.keys()
    others |= VERBS.keys() | recover.TABLE.keys() | looked_at() | {KEY}
    pages = {str(path): named(path.read_text()) - others for path in DOCS}
    words = {word for found in pages.values() for word in found if not METRIC.fullmatch(word)}
    gone = {word for word in words if unknown(word)}
    assert {page: found & gone for page, found in pages.items() if found & gone} == {}


def test_a_setting_that_does_not_exist_is_found() -> None:
    text = '`open_webui_replica = 2`, `--data proxy_tsl=acme`\n"postgres_pasword": 1\n`DATABASE_URL` `docker stop x`\n'
    assert {name for name in named(text) if unknown(name)} == {"open_webui_replica", "proxy_tsl", "postgres_pasword"}


def page(title: str, end: str) -> str:
    """A part of docs/explanation/architecture.md: from a heading to the next line that begins with `end`."""
    return (ROOT / "docs/explanation/architecture.md").read_text().partition(f"\n{title}\n")[2].partition(f"\n{end}")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of tables whose rows begin with code."""
    return [row.split(" | ") for row in re.findall(r"(?m)^\| (`.+) \|$", text)]


def in_code(cells: Iterable[list[str]]) -> list[str]:
    return [name for row in cells for name in re.findall(r"`([\w/]+)`", row[0])]


OPERATORS = in_code(rows(page("## The operator's side", "## ")))
VERB_TABLES = page("### Verbs, and what a crash means", "## ")


def test_every_module_of_the_library_is_in_the_table_once() -> None:
    assert sorted(OPERATORS) == sorted(f"{path.parent.name}/{path.stem}" for path in LIBRARY)


def test_every_module_of_the_hosts_program_is_in_its_table_once() -> None:
    there = [path.relative_to(ROOT / "webui_stack/host").with_suffix("") for path in HOST_MODULES]
    listed = in_code(rows(page("## The host's side", "### ")))
    assert sorted(listed) == sorted(str(path) for path in there if path.parts[0] != "verbs" and path.name != "__init__")


def test_every_verb_is_in_a_table_once_and_where_it_is_detached_in_one_of_those() -> None:
    detached, _, others = VERB_TABLES.partition("\nNot detached")
    assert sorted(in_code(rows(detached))) == sorted(DETACHED)
    assert sorted(in_code(rows(others))) == sorted(VERBS.keys() - DETACHED)


def test_the_steps_of_each_verb_with_a_journal_are_in_its_table() -> None:
    table = {row[0].strip("`"): tuple(row[3:]) for row in rows(VERB_TABLES) if len(row) == 5}

    def steps(verb: str, way: str) -> str:
        named = [step.name for step in recover.TABLE[verb] if step.after_crash == way and step.name != OLD_MARK]
        return ", ".join(named) or "none"

    assert table == {verb: (steps(verb, "go back"), steps(verb, "go on")) for verb in recover.TABLE if verb in VERBS}
    assert recover.TABLE["swarm_upgrade"] == recover.TABLE["swarm"]


def anchors(text: str) -> set[str]:
    """What GitHub makes of headings for links."""
    titles = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(path: Path) -> list[str]:
    """The links of a document that lead nowhere in the repository."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        place, _, anchor = link.partition("#")
        target = (path.parent / place) if place else path
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target.read_text()))):
            found.append(link)
    return found


def test_links_lead_somewhere() -> None:
    found = {str(path): broken(path) for path in (*DOCS, ROOT / "CHANGELOG.md")}
    assert {page: links for page, links in found.items() if links} == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(
        "# One: two\n[a](#one-two) [b](#three) [c](gone.md) [d](a.md#one-two) [e](https://example.org/#x)\n"
    )
    assert broken(path) == ["#three", "gone.md"]


def test_the_page_of_settings_is_current() -> None:
    """`.venv/bin/python docs/generate.py` writes it."""
    written = runpy.run_path(str(ROOT / "docs/generate.py"))
    assert written["TARGET"].read_text() == written["page"]()
    sections = written["sections"](written["SOURCE"].read_text())
    read = {setting.name: eval(setting.default) for _, settings in sections for setting in settings}  # noqa: S307
    assert read == DEFAULTS


def deploy_files(text: str) -> set[str]:
    """The deploy files and inventories of this repository that a page's commands run."""
    commands = re.findall(r"(?m)^ *(?:LAB_NAME=\w+ )?pyinfra (.*)$", text)
    words = {word for command in commands for word in command.partition(" #")[0].split()}
    return {word for word in words if re.fullmatch(r"deploy\.py|runbooks/\w+\.py|inventories/(lab\w*|local)\.py", word)}


def test_what_a_page_runs_is_there() -> None:
    run = [(str(path), name) for path in DOCS for name in deploy_files(path.read_text())]
    assert run
    assert [(page, name) for page, name in run if not (ROOT / name).is_file()] == []


def test_what_a_page_runs_is_found() -> None:
    text = "pyinfra -y inventories/lab.py runbooks/gone.py --limit x # deploy.py\nother runbooks/no.py\n"
    assert deploy_files(text) == {"inventories/lab.py", "runbooks/gone.py"}


def test_each_runbook_is_on_the_page_of_commands() -> None:
    page = (ROOT / "docs/reference/commands.md").read_text()
    assert [
        path.name for path in sorted((ROOT / "runbooks").glob("*.py")) if f"`runbooks/{path.name}`" not in page
    ] == []


def test_each_metric_is_on_its_page_once_and_no_other_is() -> None:
    sources = [*(ROOT / "webui_stack/host/looks").glob("*.py"), ROOT / "webui_stack/host/verbs/monitor.py"]
    named = {name for path in sources for name in METRIC.findall(path.read_text())}
    listed = in_code(rows((ROOT / "docs/reference/metrics.md").read_text()))
    kinds = {name for name in named if name.endswith("_")}  # a name is made of it
    assert kinds == {"open_webui_stack_service_replicas_"}
    assert sorted(name for name in listed if not name.startswith(tuple(kinds))) == sorted(named - kinds)
    assert [name for name in listed if name.startswith(tuple(kinds))] == [
        f"{kind}{what}" for kind in kinds for what in ("running", "wanted")
    ]


def test_each_look_is_on_the_page_about_monitoring() -> None:
    """By the beginning of the names of its findings."""
    sources = [*(ROOT / "webui_stack/host/looks").glob("*.py"), ROOT / "webui_stack/host/verbs/monitor.py"]
    texts = [path.read_text() for path in sources]
    made = {f"{kind}_" for text in texts for kind in re.findall(r'\bname\("(\w+)", ', text)}
    whole = {name for text in texts for name in re.findall(r'(?:Finding\(|_share\([\w.]+,)\s*"([a-z_]+)"', text)}
    assert len(made | whole) > 15
    assert sorted((made | whole) - looked_at()) == []


def test_each_page_that_a_message_names_is_there() -> None:
    """Errors and comments name pages, such as docs/how-to/https.md."""
    sources = [
        *(ROOT / "webui_stack").rglob("*.py"),
        *(ROOT / "tasks").glob("*.py"),
        *(ROOT / "inventories").rglob("*.py"),
    ]
    named = {page for path in sources for page in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text())}
    assert named
    assert [page for page in sorted(named) if not (ROOT / page).is_file()] == []


def test_every_task_is_named_on_the_page_of_the_architecture() -> None:
    house = page("## The house", "## ")
    assert [path.stem for path in TASKS if f"`{path.stem}`" not in house] == []
