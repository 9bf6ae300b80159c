"""A browser, and the people who use it on a stack: of the first host, unless a module has a `site` of its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from tests.browser.models import Models
from tests.browser.person import Person, Site
from tests.lab.precious import EMAIL, PASSWORD
from tests.lab.session import FRESH, Lab


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure comes with what is on the pages of the people it is about."""
    report = yield
    if report.failed:
        for name, person in item.funcargs.items():
            if isinstance(person, Person):
                try:
                    person.picture(f"failed-{item.name}-{name}")
                    told = person.tell()
                except Error as error:  # a page that has crashed: an error here would end the whole run
                    told = str(error)
                report.sections.append((f"Page of {name}", told))
    return report


@pytest.fixture(scope="module")
def site(lab: Lab, deployed: dict[str, Any]) -> Site:
    return Site(f"http://127.0.0.1:{lab.port(FRESH)}", lab.host(FRESH))


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    """The distribution's Chromium: Playwright's own is a download that not every network lets through."""
    program = shutil.which("chromium")
    assert program, "chromium: expected it in PATH, got none; install it (`make test` does, as root on Debian)"
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=[*site.arguments]) as browser,
    ):
        yield browser


@pytest.fixture(scope="module")
def newcomer(browser: Browser, site: Site) -> Callable[[], Person]:
    """Each call is someone who comes with a browser that has never been there."""

    def come() -> Person:
        context = browser.new_context(base_url=site.url, locale="en-US", viewport={"width": 1200, "height": 480})
        context.set_default_timeout(60_000)  # the first load of the page, on a machine that does much else
        return Person(context.new_page())

    return come


@pytest.fixture(scope="module")
def ada(newcomer: Callable[[], Person]) -> Person:
    """The first to sign up; in a lab that is kept she has done so before."""
    person = newcomer()
    if person.ask("/api/config").get("onboarding"):
        person.sign_up_first("Ada", EMAIL, PASSWORD)
    else:
        person.sign_in(EMAIL, PASSWORD)
    return person


@pytest.fixture(scope="module")
def account(ada: Person) -> dict[str, str]:
    """Grace's, whom Ada added, since sign-up is closed after the first."""
    account = {"email": f"grace-{time.time_ns()}@lab.test", "password": "Hopper-1906"}
    ada.ask("/api/v1/auths/add", {"name": "Grace", "role": "user", **account})
    return account


@pytest.fixture(scope="module")
def grace(newcomer: Callable[[], Person], account: dict[str, str]) -> Person:
    person = newcomer()
    person.sign_in(**account)
    return person


@pytest.fixture(scope="module")
def models(lab: Lab, site: Site) -> Models:
    return Models(lab, site.host)


@pytest.fixture(scope="module")
def channel(ada: Person) -> str:
    """A channel that everybody may read and write."""
    everybody = {"principal_type": "user", "principal_id": "*"}
    grants = [{**everybody, "permission": permission} for permission in ("read", "write")]
    return str(ada.ask("/api/v1/channels/create", {"name": "lab", "access_grants": grants})["id"])
