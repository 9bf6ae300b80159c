"""The value that passes and breaks later is refused, and the one beside it that is right is taken."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.unit.settings.given import PEM, problems
from webui_stack.settings.image_reference import postgres_major


def test_registry_has_to_be_a_host_name(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(PEM)
    assert problems(docker_registry_ca={"https://registry.example.org": str(ca)}) == [
        "docker_registry_ca/https://registry.example.org: expected registry host names with an optional port, "
        "got 'https://registry.example.org'; e.g. 'registry.example.org:5000'"
    ]


NO_KEY = "expected a file of certificates without a private key"

KEEP = (
    "everybody could read the key on the host: keep the certificates only, "
    "`sed -n '/BEGIN CERT/,/END CERT/p' FILE >chain.pem`"
)


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH "])
@pytest.mark.parametrize("key_first", [True, False])
def test_a_file_with_its_key_in_it_is_no_certificate(tmp_path: Path, kind: str, key_first: bool) -> None:
    key = PEM.replace("CERTIFICATE", f"{kind}PRIVATE KEY")
    file = tmp_path / "combined.pem"
    file.write_text(key + PEM if key_first else PEM + key)
    name = "registry.example.org"
    assert problems(proxy_certificate=str(file), docker_registry_ca={name: str(file)}) == [
        f"docker_registry_ca/{name}: {NO_KEY}, got '{file}'; {KEEP}",
        f"proxy_certificate: {NO_KEY}, got '{file}'; {KEEP}",
    ]
    command = KEEP.split("`")[1].replace("FILE", "combined.pem")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "chain.pem").read_text() == PEM
    assert settings(proxy_certificate=str(tmp_path / "chain.pem"))


def test_ca_file_in_the_home_of_nobody_is_a_problem_and_no_crash() -> None:
    assert problems(docker_registry_ca={"registry.example.org": "~no-such-user/ca.pem"}) == [
        "docker_registry_ca/registry.example.org: expected a readable PEM certificate on this machine, "
        "got '~no-such-user/ca.pem'; check the path"
    ]


def test_key_for_a_ca_file_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(PEM.replace("CERTIFICATE", "PRIVATE KEY"))
    assert problems(docker_registry_ca={"registry.example.org": str(key)}) == [
        f"docker_registry_ca/registry.example.org: {NO_KEY}, got '{key}'; {KEEP}"
    ]


@pytest.mark.parametrize(
    ("tag", "major"),
    [
        ("pgvector/pgvector:0.8.7-pg17-trixie", 17),
        ("pgvector/pgvector:0.8.7-pg18-trixie", 18),
        ("pgvector/pgvector:pg19@sha256:" + "0" * 64, 19),
        ("library/postgres:18.1-trixie", 18),
        ("registry.example.org:5000/postgres:16.10", 16),
        ("registry.example.org/chat-database:1.18.0", None),
        ("pgvector/pgvector@sha256:" + "0" * 64, None),
    ],
)
def test_postgres_18_keeps_its_data_elsewhere_and_is_refused(tag: str, major: int | None) -> None:
    reference = f"docker.io/{tag}" if tag.startswith(("pgvector", "library")) else tag
    assert postgres_major(reference) == major
    if (major or 0) < 18:
        assert settings(postgres_image=reference).postgres_image == reference
        return
    assert problems(postgres_image=reference) == [
        f"postgres_image: expected PostgreSQL 17 or older, got {reference!r}; newer images keep their data outside the "
        "volume, and the data of an older one has to be dumped and loaded"
    ]


FLOOR = (
    "expected no less than Valkey's own '32mb 8mb 60', or 0 for no limit, got {!r}; Valkey cuts Open WebUI off when "
    "more than that waits for it, and people miss events; e.g. '1gb 256mb 180'"
)


@pytest.mark.parametrize("buffer", ["1 1 1", "31mb 8mb 60", "32mb 7mb 60", "32mb 8mb 59", "1gb 256mb 0", "32 8 60"])
def test_a_buffer_that_cuts_listeners_off_is_refused(buffer: str) -> None:
    assert problems(valkey_pubsub_buffer=buffer) == [f"valkey_pubsub_buffer: {FLOOR.format(buffer)}"]


@pytest.mark.parametrize("buffer", ["32mb 8mb 60", "33554432 8388608 60", "32768kb 0 0", "0 8mb 60", "0 0 1"])
def test_a_buffer_of_valkeys_own_size_is_taken(buffer: str) -> None:
    assert settings(valkey_pubsub_buffer=buffer)


@pytest.mark.parametrize("lifetime", ["0h", "59s", "1ms", "0w0d", "521w", "999999999999w"])
def test_a_login_lasts_long_enough_to_be_used(lifetime: str) -> None:
    assert problems(open_webui_jwt_expires_in=lifetime) == [
        f"open_webui_jwt_expires_in: expected a duration from a minute to ten years, got {lifetime!r}; people would be "
        "signed out at once, or not be let in; e.g. '24h'"
    ]


@pytest.mark.parametrize("lifetime", ["60s", "1m", "0h90s", "60000ms", "4w", "520w"])
def test_a_login_of_a_minute_or_years_is_taken(lifetime: str) -> None:
    assert settings(open_webui_jwt_expires_in=lifetime)


@pytest.mark.parametrize(
    ("registry", "fine"),
    [
        *((name, True) for name in ("registry.example.org", "registry:5000", "192.0.2.1:443", "A.b-c:65535")),
        *((name, False) for name in ("..", ".", "", "a..b", "-a", "a-", "a/b", "../a", "a:0", "a:65536", "a:٦", "a\n")),
    ],
)
def test_a_registrys_folder_is_a_host_and_a_port(tmp_path: Path, registry: str, fine: bool) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(PEM)
    if fine:
        assert settings(docker_registry_ca={registry: str(ca)})
    else:
        (line,) = problems(docker_registry_ca={registry: str(ca)})
        assert ": expected registry host names with an optional port, got " in line


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        *(
            (email, True)
            for email in ("ops@example.org", "ops+chat@example.org", "o'brien@b.example", "a_b.c%d@localhost")
        ),
        *((email, False) for email in ("`x@y", "#x@y", "<<x@y", "a@b@c", "a b@c", "a@", "@b", "a@b.", "a@-b", "{a}@b")),
        *((email, False) for email in ("a@b\n", "ä@b.example", 'a"@b', "a\\@b", "$a@b")),
    ],
)
def test_who_is_told_of_certificates_has_an_address(address: str, fine: bool) -> None:
    if fine:
        assert settings(proxy_acme_email=address).proxy_acme_email == address
    else:
        assert problems(proxy_acme_email=address) == [
            f"proxy_acme_email: expected an e-mail address, got {address!r}; None goes without"
        ]


@pytest.mark.parametrize("setting", ["open_webui_bind", "proxy_bind", "swarm_address"])
@pytest.mark.parametrize(
    "address",
    ["fe80::1%eth0", "fe80::1%eth0\nports: []", "::1%$(reboot)", "127.0.0.1\n", "٢.٢.٢.٢", "224.0.0.1", "ff02::1"],
)
def test_an_address_is_one_of_a_host_and_nothing_more(setting: str, address: str) -> None:
    (line,) = problems(**{setting: address})
    assert line.startswith(f"{setting}: expected an IP address of the host")


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "fe80::1"])
def test_any_address_of_a_host_is_taken(address: str) -> None:
    assert settings(open_webui_bind=address, proxy_bind=address, swarm_address=address)


@pytest.mark.parametrize(
    ("addresses", "fine"),
    [
        (["0.0.0.0", "::"], True),
        (["192.0.2.7", "127.0.0.1", "2001:db8::7", "::1"], True),
        (["::", "127.0.0.1"], True),
        (["0.0.0.0", "127.0.0.1"], False),
        (["::1", "::"], False),
        (["::1", "0:0:0:0:0:0:0:1"], False),
        (["127.0.0.1", "127.0.0.1"], False),
    ],
)
def test_the_proxys_addresses_have_ports_of_their_own(addresses: list[str], fine: bool) -> None:
    if fine:
        assert settings(proxy_bind=addresses).proxy_addresses == addresses
    else:
        (line,) = problems(proxy_bind=addresses)
        assert line.startswith("proxy_bind: expected addresses without each other's ports, got [")


@pytest.mark.parametrize("addresses", [["::1%eth0"], ["ff02::1"], [True], [None], [["::1"]], {"::1": 1}, 7, None])
def test_the_proxys_addresses_are_addresses(addresses: Any) -> None:
    (line,) = problems(proxy_bind=addresses)
    assert line.startswith("proxy_bind: expected an IP address of the host, or a list of them, got ")


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        *((value, True) for value in ("DENY", "max-age=31536000; preload", "geolocation=(self)", 'csp="https://a.b"')),
        *((value, True) for value in ("frame-ancestors 'self' https://portal.example.org", "`x` <y> #z $HOME @a %41")),
        *((value, False) for value in ("", " ", " DENY", "DENY ", "a\nb", "a\rb", "a\tb", "{$HOME}", "{file./etc/x}")),
        *((value, False) for value in ("a\\b", "Gr\u00fc\u00dfe", "a\x7fb", "DENY\n}")),
    ],
)
def test_a_headers_value_is_what_caddy_sends(value: str, fine: bool) -> None:
    if fine:
        assert settings(proxy_headers={"X-Of-Mine": value}).sent_headers["X-Of-Mine"] == value
    else:
        (line,) = problems(proxy_headers={"X-Of-Mine": value})
        assert line.startswith("proxy_headers/X-Of-Mine: expected one line of ASCII")


@pytest.mark.parametrize("name", ["set-cookie", "Transfer-Encoding", "Sec-WebSocket-Accept", "-X-Frame-Options", "?A"])
def test_what_an_answer_needs_stays_as_it_is(name: str) -> None:
    (line,) = problems(proxy_headers={name: None})
    assert line.startswith(f"proxy_headers/{name}: expected ")


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        *(
            (url, True)
            for url in ("https://acme-staging-v02.api.letsencrypt.org/directory", "https://ca.lab:14000/dir")
        ),
        *((url, True) for url in ("https://198.51.100.7/acme/acme/directory", "https://[2001:db8::7]:9000/directory")),
        *(
            (url, False)
            for url in ("", "ca.example.org", "https://", "https://ca.example.org/a b", "https://[::1]/dir")
        ),
        *(
            (url, False)
            for url in ("https://ca.example.org/{$HOME}", "https://ca.example.org/dir\n}", "https://a:99999/")
        ),
    ],
)
def test_an_acme_directory_is_a_url_that_the_proxy_can_ask(url: str, fine: bool) -> None:
    if fine:
        assert settings(proxy_acme_directory=url).proxy_acme_directory == url
    else:
        (line,) = problems(proxy_acme_directory=url)
        assert line.startswith("proxy_acme_directory: expected ")


@pytest.mark.parametrize(
    "network", ["", "192.0.2.0/33", "192.0.2.0/255.255.255.0", "fe80::%eth0/64", "cdn.example.org", "0.0.0.0/0", "1"]
)
def test_a_trusted_proxy_is_a_network_of_somebody(network: str) -> None:
    (line,) = problems(public_url="https://chat.example.org", trusted_proxies=[network])
    assert line.startswith("trusted_proxies/0: expected ")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "::1"])
def test_no_other_host_reaches_a_swarm_by_such_an_address(address: str) -> None:
    (line,) = problems(swarm_address=address)
    assert line.startswith("swarm_address: expected an IP address of the host that the other hosts reach")
    assert settings(open_webui_bind=address)


@pytest.mark.parametrize(
    ("schedule", "fine"),
    [
        *((text, True) for text in ("", "daily", "*-*-* 03:30", "Mon..Fri *-*-* 03:30:00", "*:0/15")),
        *((text, True) for text in ("*-02~03", "2026-11-29 03:30 Europe/Berlin", "*-*-* 03:30 America/Port-au-Prince")),
        ("*-*-* 03:30 Etc/GMT+2", True),
        *((text, False) for text in (" ", "   ", " daily", "daily ", "daily\n", "a\nb", "-", "daily; rm", "%h")),
    ],
)
def test_a_schedule_is_one_line_with_something_in_it(schedule: str, fine: bool) -> None:
    if fine:
        assert settings(backup_schedule=schedule).backup_schedule == schedule
    else:
        (line,) = problems(backup_schedule=schedule)
        assert line.startswith("backup_schedule: expected a calendar expression of systemd, or an empty string")


OTHERS_FOLDER = (
    "expected a folder of its own, got {!r}; that one is the system's, a person's or emptied at a start; add a name "
    "below a lasting folder, e.g. '/opt/open-webui' or '/var/backups/open-webui'"
)


@pytest.mark.parametrize("setting", ["stack_dir", "backup_dir", "open_webui_shared_dir"])
@pytest.mark.parametrize(
    "path",
    [
        *("/var/lib", "/var/backups", "/home/alice", "/tmp/x", "/tmp/x/y", "/var/tmp/x", "/var/www", "/var/log/x"),
        *(
            "/var/opt",
            "/run/x",
            "/dev/shm/x",
            "/etc/open-webui",
            "/usr/local/x",
            "/var/lib/docker/volumes/x",
            "/var/run/x",
        ),
    ],
)
def test_the_folders_of_others_are_refused(setting: str, path: str) -> None:
    assert problems(**{setting: path}) == [f"{setting}: {OTHERS_FOLDER.format(path)}"]


@pytest.mark.parametrize("path", ["/srv", "/opt", "/home", "/var", "/mnt", "/root", "/", "//", "/srv/", "/srv//x"])
def test_a_folder_at_the_top_is_refused(path: str) -> None:
    assert problems(backup_dir=path)[0].startswith("backup_dir: expected an absolute path of a folder of its own")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/srv/chat",
            "/opt/open-webui",
            "/var/lib/open-webui",
            "/var/backups/open-webui",
            "/home/alice/chat",
            "/mnt/nas",
        ),
        *("/var/www/chat", "/root/chat", "/data/chat", "/var/libx/y", "/tmpx/y", "/home/alice/tmp/x"),
    ],
)
def test_a_folder_below_a_lasting_one_is_taken(path: str) -> None:
    assert settings(stack_dir=path, backup_dir="/srv/backups").stack_dir == path
    assert settings(stack_dir="/srv/stack", backup_dir=path).backup_dir == path


@pytest.mark.parametrize("written", ["https://chat.example.org.", "https://a_b.example", "https://-a.example"])
def test_no_certificate_is_for_such_a_name(written: str) -> None:
    assert problems(public_url=written)[0].startswith("public_url: expected a URL of https, a host name and")
