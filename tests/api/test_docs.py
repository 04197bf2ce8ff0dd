"""The page that documents the API, opened in a browser that has no internet: it loads, asks, and shows the answer."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.served import Filled, Served, filled, sqlite_url
from tests.command import until
from tests.conftest import missing
from tests.patience import HANGS_S
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store, tokens

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,1600"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # what is asked of others fails at once
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        missing("chromium and chromium-driver are not installed: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path}/profile"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(str(driver)))
    opened.set_page_load_timeout(HANGS_S)
    try:
        yield opened
    finally:
        opened.quit()


@pytest.mark.parametrize("guarded", [False, True])
def test_a_request_is_sent_from_the_page_and_its_answer_shown(guarded: bool, tmp_path: Path, browser: Any) -> None:
    def found(selector: str) -> Any:
        return until(lambda: browser.find_elements("css selector", selector), selector, timeout_s=HANGS_S)[0]

    def click(selector: str) -> None:
        element = found(selector)
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        browser.execute_script("arguments[0].click()", element)

    url = filled(sqlite_url(tmp_path)).url
    token = asyncio.run(_token(url)) if guarded else None
    with Served(url) as api:
        if token is not None:  # what a person types into the browser's own question
            browser.get(api.server.url.replace("//", f"//me:{token}@") + "/docs")
            browser.get_log("browser")
        browser.get(f"{api.server.url}/docs")
        operation = "#operations-chain-list_chains"
        click(f"{operation} button.opblock-summary-control")
        click(f"{operation} button.try-out__btn")
        click(f"{operation} button.execute")
        shown = until(
            lambda: browser.find_elements(
                "css selector", f"{operation} .live-responses-table tr.response td.response-col_status"
            ),
            "the answer",
            timeout_s=HANGS_S,
        )
        assert shown[0].text.startswith("200")
        body = found(f"{operation} .live-responses-table .highlight-code").text
        assert '"chain_id": 1337' in body
        complaints = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert complaints == []  # nothing was asked of others, and the page's own policy lets all of it work


async def _token(url: str) -> str:
    store = await open_store(url, SystemRuntime())
    try:
        return await tokens.create(store, SystemRuntime(), "mine", ("read",), None)
    finally:
        await store.close()


def test_the_docs_page_loads_everything_from_this_server(small: Filled) -> None:
    with Served(small.url) as api:
        page = api.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert b"http" not in page.body
        for part, kind in (("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")):
            reply = api.get(f"/docs/{part}")
            assert reply.headers["content-type"].startswith(kind)
            assert len(reply.body) > 10_000
        assert api.get("/docs/..%2F..%2Fetc%2Fpasswd").status == 404
