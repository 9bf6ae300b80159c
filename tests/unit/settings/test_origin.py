"""Origins are taken as browsers spell them."""

from __future__ import annotations

import pytest

from tests.defaults import settings
from tests.unit.settings.given import problems

SPELLED = [
    pytest.param("https://chat.example.org", "https://chat.example.org", id="as it is"),
    pytest.param("https://chat.example.org/", "https://chat.example.org", id="a slash"),
    pytest.param("https://Chat.Example.ORG", "https://chat.example.org", id="capitals"),
    pytest.param("HTTPS://chat.example.org", "https://chat.example.org", id="a capital scheme"),
    pytest.param("https://chat.example.org:443", "https://chat.example.org", id="https's own port"),
    pytest.param("https://chat.example.org:0443/", "https://chat.example.org", id="a zero before the port"),
    pytest.param("https://chat.example.org:", "https://chat.example.org", id="a colon and no port"),
    pytest.param("https://chat.example.org:8443", "https://chat.example.org:8443", id="another port"),
    pytest.param("https://chat.example.org:80", "https://chat.example.org:80", id="http's port is none of https"),
    pytest.param("https://Bücher.example", "https://xn--bcher-kva.example", id="an umlaut"),
    pytest.param("https://faß.example", "https://xn--fa-hia.example", id="a sharp s stays one"),
    pytest.param("https://チャット.example:443", "https://xn--7ckep0i.example", id="Japanese"),
    pytest.param("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", id="in ASCII already"),
]

PLAIN = [
    pytest.param("http://chat.example.org:80", "http://chat.example.org", id="http's own port"),
    pytest.param("http://chat.example.org:443", "http://chat.example.org:443", id="https's port is none of http"),
    pytest.param("http://[2001:DB8:0:0:0:0:0:1]:80", "http://[2001:db8::1]", id="IPv6 in full"),
    pytest.param("http://[::FFFF:192.0.2.1]:8080", "http://[::ffff:c000:201]:8080", id="IPv4 in IPv6"),
    pytest.param("http://192.0.2.1:3000", "http://192.0.2.1:3000", id="IPv4"),
    pytest.param("http://LOCALHOST:3000", "http://localhost:3000", id="a name of one word"),
    pytest.param("https://chat.example.org.", "https://chat.example.org.", id="the root's dot, which browsers keep"),
]


@pytest.mark.parametrize(("written", "sent"), SPELLED)
def test_the_proxys_url_is_taken_as_browsers_spell_it(written: str, sent: str) -> None:
    found = settings(public_url=written, proxy_http_port=0)
    assert (found.public_url, found.external_url, found.cors_allow_origin) == (sent, sent, sent)
    assert f"https://{found.proxy_name}" + ("" if found.proxy_port == 443 else f":{found.proxy_port}") == sent


@pytest.mark.parametrize(("written", "sent"), SPELLED + PLAIN)
def test_every_other_origin_is_taken_as_browsers_spell_it(written: str, sent: str) -> None:
    found = settings(open_webui_public_url=written, open_webui_cors_origins=[written, "https://b.example"])
    assert (found.external_url, found.cors_allow_origin) == (sent, f"{sent};https://b.example")
    assert settings(verify_url=written).verify_url == written  # a way to dial, with the port that was said


@pytest.mark.parametrize(
    "written",
    [
        *(
            "https://chat.example.org\n",
            "https://chat.exa\tmple.org",
            " https://chat.example.org",
            "https:chat.example",
        ),
        *("https://a.example;https://b.example", "https://chat.example.org?", "https://chat.example.org#", "https://"),
        *(
            "https:\\\\chat.example.org",
            "https://ch%61t.example.org",
            "https://chat..example.org",
            "https://[fe80::1%25a]",
        ),
        *(
            "https://chat.example.org:0",
            "https://chat.example.org:x",
            "https://chat .example",
            "https://xn--a.example",
        ),
        *("app://chat", "https://chat.example.org//", "https://a'b.example", "https://[::1", "null"),
    ],
)
def test_what_is_no_origin_is_refused(written: str) -> None:
    for setting in ("public_url", "open_webui_public_url", "verify_url"):
        (line,) = problems(**{setting: written})
        assert line.startswith(f"{setting}: expected a URL of ")
    assert problems(open_webui_cors_origins=[written])[0].startswith("open_webui_cors_origins/0: expected a URL of ")
