"""What an operator types off the pages: a lost password, an HTTP proxy, Postgres' next major version, another server.

The commands are read from the pages, so a page can't say others than those that were run here.
"""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import textwrap
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab import blobs, engine, images, registry, service
from tests.defaults import ROOT
from tests.lab.door import Door, Visitor, door_of, proxied
from tests.lab.precious import EMAIL, Precious, within
from tests.lab.receivers import install
from tests.lab.session import EARLIER, FRESH, NAME, SPARE, Lab, changed, containers
from tests.lab.watched import serve, silence

pytestmark = [pytest.mark.lab, pytest.mark.long]

RENEWED = "Byron-1816 $1 'x'"
CONTENT = b"uploaded before"


def commands(page: str) -> list[str]:
    """The blocks of commands on a how-to page, in its order."""
    text = (ROOT / "docs/how-to" / page).read_text()
    return [textwrap.dedent(block) for block in re.findall(r"(?ms)^ *```console\n(.*?)^ *```$", text)]


def settings_on(page: str) -> list[dict[str, Any]]:
    """The settings of each block of an inventory on a how-to page, in its order."""
    text = (ROOT / "docs/how-to" / page).read_text()
    return [ast.literal_eval(f"{{{block}}}") for block in re.findall(r"(?ms)^ *```python\n(.*?)^ *```$", text)]


@dataclass
class Operator:
    """Somebody with a clone, an inventory of their own with two hosts, and an age identity at home."""

    lab: Lab
    clone: Path
    home: Path
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write_inventory(self) -> None:
        name_before = os.environ.get("LAB_NAME")
        os.environ["LAB_NAME"] = NAME
        try:
            known = dict(runpy.run_path(str(ROOT / "inventories/lab.py"))["lab"])
        finally:
            os.environ.pop("LAB_NAME") if name_before is None else os.environ.update(LAB_NAME=name_before)
        hosts = [(name, {**known[name], **settings}) for name, settings in self.settings.items()]
        (self.clone / "inventories/mine.py").write_text(f"hosts = {hosts!r}\n")

    def types(self, block: str, **names: str) -> str:
        """Run a block, with hosts' names in place of `HOST` and such; what it printed. It has to end well."""
        for word, name in names.items():
            block = re.sub(rf"\b{word}\b", name, block)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "HOME": str(self.home), "PYINFRA_PROGRESS": "off"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self.clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
            check=False,
        )
        print(f"$ {block}\n{done.stdout}")
        assert done.returncode == 0, block
        return done.stdout


def typed_on(host: Any, *blocks: str, typed: str = "") -> str:
    """Run blocks one after another in one shell of root's, as somebody who is logged in to the host."""
    script = "\n".join(blocks).replace("admin@example.org", EMAIL)
    return str(host.check_output("printf '%%s\\n' %s | bash -euo pipefail -c %s", typed, script))


@pytest.fixture(scope="module")
def operator(lab: Lab, age_key: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Operator:
    clone, home = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("home")
    for name in ("config.py", "deploy.py", "runbooks", "tasks", "webui_stack"):  # no other clone's, by Python's path
        (clone / name).symlink_to(ROOT / name)
    (clone / "inventories").mkdir()
    identity, recipient = age_key
    shutil.copy(identity, home / "backup.key")
    shared = {"database": "postgres", "backup_age_recipient": recipient}
    lab.ensure(EARLIER)
    return Operator(lab, clone, home, {name: {**shared, **proxied(lab, name)} for name in (EARLIER, SPARE)})


# Debian 12 has this Postgres and no pgvector: Debian 13's source is built for it.
VECTOR = """
FROM server AS build
RUN cd /etc/apt/sources.list.d \\
    && sed -e '/^$/q' -e 's/^Types: deb$/Types: deb-src/' -e 's/^Suites: .*/Suites: trixie/' debian.sources \\
      > source.sources \\
    && cd /tmp && apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make dpkg-dev \\
    && apt-get download postgresql-server-dev-MAJOR && dpkg -x postgresql-server-dev-*.deb / \\
    && apt-get source --only-source pgvector && cd pgvector-* \\
    && make with_llvm=no OPTFLAGS= PG_CONFIG=/usr/lib/postgresql/MAJOR/bin/pg_config \\
    && make with_llvm=no DESTDIR=/out PG_CONFIG=/usr/lib/postgresql/MAJOR/bin/pg_config install
FROM server
COPY --from=build /out/ /
"""


def postgres(major: str) -> str:
    """The name in the lab's registry of Postgres in another major version, made of Debian 12's package."""
    engine.ensure(NAME)
    base = images.debian("12", NAME)
    vector = VECTOR.replace("MAJOR", major)

    def generate(context: Path) -> dict[str, str]:
        file = context / "Dockerfile"
        server = file.read_text().replace(" postgresql-17-pgvector", "").replace("FROM $BASE", "FROM $BASE AS server")
        file.write_text(re.sub(r"\b17\b", major, server) + vector)
        return {"BASE": base}

    reference = images.build("postgres", f"postgres-{major}", NAME, base + vector, generate)
    offered = registry.Offered("pgvector/pgvector", f"0.8.0-pg{major}-bookworm", blobs.of_image(reference, NAME))
    service.put(service.container_name(NAME, "registry"), registry.links(offered))
    return offered.name


@dataclass
class People:
    """Ada, her chat and her file, at a stack's door."""

    token: str
    chat: str
    file: str

    def assert_kept_at(self, door: Door) -> None:
        """She is signed in, as before, and has what she had."""
        visitor = door.visitor()
        titles = [chat["title"] for chat in visitor.must("GET", "/api/v1/chats/", None, self.token)]
        assert titles == [self.chat]
        assert visitor.download(self.file, self.token) == CONTENT


def sign_in(visitor: Visitor, password: str) -> str:
    return str(visitor.must("POST", "/api/v1/auths/signin", {"email": EMAIL, "password": password})["token"])


@pytest.fixture(scope="module")
def people(operator: Operator) -> People:
    """A stack on Postgres' earlier major version, and what people put into it."""
    operator.settings[EARLIER]["postgres_image"] = postgres("15")
    operator.write_inventory()
    operator.types("pyinfra -y inventories/mine.py deploy.py --limit HOST", HOST=EARLIER)
    door = door_of(operator.lab, EARLIER)
    token, visitor = door.sign_in(), door.visitor()
    visitor.must("POST", "/api/v1/chats/new", {"chat": {"title": "kept", "messages": []}}, token)
    return People(token, "kept", visitor.upload(CONTENT, token))


@pytest.fixture
def alone(lab: Lab, deployed: dict[str, Any]) -> Iterator[Precious]:
    """A stack on SQLite, whose admin gets the password back."""
    precious = Precious(lab)
    before = "SELECT password FROM auth"
    read = f'import sqlite3; print(*sqlite3.connect("/app/backend/data/webui.db").execute("{before}").fetchone())'
    kept = precious.host.check_output("docker exec open-webui python3 -c %s", read)
    yield precious
    write = (
        'import sqlite3, sys; c = sqlite3.connect("/app/backend/data/webui.db"); '
        'c.execute("UPDATE auth SET password = ?", sys.argv[1:]); c.commit()'
    )
    precious.host.check_output("docker exec open-webui python3 -c %s %s", write, kept)


def test_a_lost_password_is_renewed_in_sqlite_as_the_page_says(alone: Precious) -> None:
    hashed, written, listed, *_ = commands("admin-password.md")
    shown = typed_on(alone.host, hashed, 'echo "$HASH"', written, typed=RENEWED).split()
    assert shown[0].startswith("$2b$")
    assert (len(shown[0]), shown[1:]) == (60, ["1"])
    assert EMAIL in typed_on(alone.host, listed)
    nobody = written.replace("admin@example.org", "nobody@example.org")
    assert typed_on(alone.host, hashed, nobody, typed="other") == "0"
    assert alone.ask("/api/v1/auths/signin", {"email": EMAIL, "password": RENEWED})["token"]
    with pytest.raises(urllib.error.HTTPError):
        alone.sign_in()


PROXY = """
Port 3128
Listen 127.0.0.1
Timeout 60
MaxClients 100
LogLevel Connect
LogFile "/root/proxy.log"
"""


@dataclass
class Proxied:
    """A host that knows a real proxy by the name that the page has for it."""

    host: Any

    def asked_for(self, since: int = 0) -> list[str]:
        """How each request began that the proxy got, after the first `since` of them."""
        log = self.host.check_output("cat /root/proxy.log")
        return re.findall(r"Request \(file descriptor \d+\): ([A-Z]+ \S+)", log)[since:]


@pytest.fixture
def by_proxy(lab: Lab, deployed: dict[str, Any]) -> Iterator[Proxied]:
    host = lab.host(FRESH)
    install(host, "tinyproxy-bin")
    host.check_output("cp /etc/hosts /root/hosts && echo 127.0.0.1 proxy.example.org >>/etc/hosts")
    host.check_output("printf %s %s >/root/proxy.conf", "%s", PROXY)
    serve(host, "page-proxy", "tinyproxy -d -c /root/proxy.conf")
    within(20, "the proxy listens", lambda: host.run("bash -c ': </dev/tcp/127.0.0.1/3128'").rc == 0)
    daemon_json = host.check_output("cat /etc/docker/daemon.json")
    yield Proxied(host)
    host.check_output("cat /root/hosts >/etc/hosts; rm -f /etc/apt/apt.conf.d/80proxy /root/hosts /root/proxy.*")
    silence(host, "page-proxy")
    if host.check_output("cat /etc/docker/daemon.json") == daemon_json:
        return
    # Into the same file: it keeps its mode. A deploy keeps a key that it does not name.
    host.check_output("printf %s %s >/etc/docker/daemon.json", "%s", daemon_json)
    # systemd starts Docker three times a minute at most (StartLimitBurst in its unit), and deploys restarted it.
    host.check_output("systemctl reset-failed docker; systemctl restart docker")
    assert host.check_output("docker info --format '{{.HTTPProxy}}{{.HTTPSProxy}}'") == ""
    lab.report("-y", "deploy.py")


def test_apt_and_docker_ask_by_the_proxy_as_the_page_says(lab: Lab, by_proxy: Proxied) -> None:
    """Docker goes past it for the registry that the page's `no-proxy` names, and by it for any other."""
    host, (for_apt, _, look) = by_proxy.host, commands("http-proxy.md")
    sources = host.check_output("cat /etc/apt/sources.list.d/debian.sources")
    (mirror,) = set(re.findall(r"(?m)^URIs: https?://([^/\s]+)", sources))
    assert by_proxy.asked_for() == []
    typed_on(host, for_apt)
    assert [one for one in by_proxy.asked_for() if mirror in one], "apt asked nobody by it"

    for_docker = settings_on("http-proxy.md")[0]
    assert for_docker.keys() == {"docker_daemon"}
    before = containers(host)
    told = lab.report("-y", "deploy.py", TEST_HOST_DATA=json.dumps({FRESH: for_docker}))
    assert [name for name in changed(told) if name.startswith("Docker")]
    assert containers(host) == before, "containers ran on"
    proxies = for_docker["docker_daemon"]["proxies"]
    assert typed_on(host, look).split() == [proxies[name] for name in ("http-proxy", "https-proxy", "no-proxy")]

    image, registry = lab.inventory["images"]["valkey"], lab.inventory["registry"]["host"]
    since = len(by_proxy.asked_for())
    host.check_output(f"docker pull --quiet {image}")
    assert f"CONNECT {registry}" in by_proxy.asked_for(since)
    own = json.loads(json.dumps(for_docker).replace("registry.example.org", registry.partition(":")[0]))
    assert own != for_docker
    lab.report("-y", "deploy.py", TEST_HOST_DATA=json.dumps({FRESH: own}))
    since = len(by_proxy.asked_for())
    host.check_output(f"docker pull --quiet {image}")
    assert by_proxy.asked_for(since) == []


def test_dnf_asks_by_the_proxy_as_the_page_says(by_proxy: Proxied) -> None:
    """Debian's dnf, with an empty repository that the host itself serves."""
    host, (_, for_dnf, _) = by_proxy.host, commands("http-proxy.md")
    install(host, "dnf", "createrepo-c")
    host.check_output("mkdir -p /root/packages /etc/yum.repos.d && createrepo_c --quiet /root/packages")
    host.check_output("cp /etc/dnf/dnf.conf /root/dnf.conf")
    serve(host, "page-packages", "python3 -m http.server --bind 127.0.0.1 --directory /root/packages 8099")
    repository = "[page]\\nname=page\\nbaseurl=http://127.0.0.1:8099\\nenabled=1\\ngpgcheck=0\\n"
    host.check_output(f"printf '{repository}' >/etc/yum.repos.d/page.repo")
    try:
        within(20, "the repository is served", lambda: host.run("bash -c ': </dev/tcp/127.0.0.1/8099'").rc == 0)
        host.check_output("dnf makecache --quiet --refresh")
        assert by_proxy.asked_for() == [], "without the page's line dnf asks directly"
        host.check_output("dnf clean all --quiet")
        typed_on(host, for_dnf)
        assert "GET http://127.0.0.1:8099/repodata/repomd.xml" in by_proxy.asked_for()
    finally:
        silence(host, "page-packages")
        host.check_output("rm -rf /root/packages /etc/yum.repos.d/page.repo; mv /root/dnf.conf /etc/dnf/dnf.conf")


def test_postgres_changes_its_major_version_as_the_page_says(operator: Operator, people: People) -> None:
    back_up, drill, tear_down, restore = commands("postgres-major.md")
    host = operator.lab.host(EARLIER)
    version = "docker exec open-webui-postgres psql --username postgres --tuples-only --command 'SHOW server_version'"
    assert host.check_output(version).strip().startswith("15.")
    operator.types(back_up, HOST=EARLIER)
    assert list((operator.clone / "backups" / EARLIER).glob("*/manifest.json"))
    assert "chats: 1, as in the manifest" in operator.types(drill, HOST=EARLIER)
    operator.types(tear_down, HOST=EARLIER)
    assert "open-webui-postgres" not in host.check_output("docker volume ls --quiet").split()
    del operator.settings[EARLIER]["postgres_image"]
    operator.write_inventory()
    operator.types(restore, HOST=EARLIER)
    assert host.check_output(version).strip().startswith("17.")
    people.assert_kept_at(door_of(operator.lab, EARLIER))


def test_a_stack_moves_to_another_server_as_the_page_says(operator: Operator, people: People) -> None:
    close, fetch, restore, back_up = commands("move-server.md")
    old, new = operator.lab.host(EARLIER), operator.lab.host(SPARE)
    operator.settings[SPARE]["backup_schedule"] = "*-*-* 03:30"
    operator.write_inventory()
    typed_on(old, close)
    operator.types(fetch, OLD=EARLIER)
    operator.types(restore, OLD=EARLIER, NEW=SPARE)
    people.assert_kept_at(door_of(operator.lab, SPARE))
    operator.types(back_up, NEW=SPARE)
    assert new.check_output("systemctl is-enabled open-webui-backup.timer") == "enabled"
    assert len(new.check_output("ls /var/backups/open-webui").split()) >= 1
    old.check_output("docker stop open-webui open-webui-postgres redis-valkey")


def test_a_lost_password_is_renewed_in_postgres_as_the_page_says(operator: Operator, people: People) -> None:
    hashed, _, _, written, listed = commands("admin-password.md")
    host, visitor = operator.lab.host(SPARE), door_of(operator.lab, SPARE).visitor()
    assert typed_on(host, hashed, written, typed=RENEWED) == "UPDATE 1"
    assert EMAIL in typed_on(host, listed)
    assert sign_in(visitor, RENEWED)
