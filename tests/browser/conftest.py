"""A real JupyterLab on a copy of a notebook, in a real Chromium. Skipped with a sentence where Chromium is missing, unless required."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# without these Chromium looks for its maker's servers at every start
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items):
    if CHROMIUM is None and "chromium" not in os.environ.get("COURSE_REQUIRE", "").split(","):
        for item in items:
            if "/browser/" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="Chromium is not installed (Debian: apt-get install chromium)"))


@pytest.fixture(scope="module")  # not longer: Playwright keeps an event loop running, in which no test of `course run` could start its own
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield window
        window.close()


class Lab:
    """A running server and where its notebooks lie."""

    def __init__(self, folder: Path, address: str, token: str):
        self.folder, self.address, self.token = folder, address, token

    def open(self, browser, notebook: str):
        """A page with the notebook, its kernel idle."""
        page = browser.new_page(viewport={"width": 1280, "height": 1100})
        page.set_default_timeout(60_000)
        workspace = notebook.removesuffix(".ipynb")  # one each, or JupyterLab opens again what was open before
        page.goto(f"{self.address}/lab/workspaces/{workspace}/tree/{notebook}?token={self.token}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        # the notebook's own indicator says idle before the kernel is connected, and a cell run then is dropped without a word
        page.locator("#jp-main-statusbar").get_by_text("(ipykernel) | Idle").wait_for()
        return page


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """JupyterLab with a reader's environment: not headless, with a data folder of its own."""
    folder = tmp_path_factory.mktemp("lab")
    reader = {k: v for k, v in os.environ.items() if k not in ("COURSE_HEADLESS", "TRITON_INTERPRET")}
    reader |= {
        "COURSE_DATA": str(folder / "data"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
    }
    log = folder / "server.log"
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--port=0",
        "--IdentityProvider.token=secret",
        "--ServerApp.open_browser=False",
    ]
    command += [f"--ServerApp.root_dir={folder}", "--ServerApp.disable_check_xsrf=False"] + ["--allow-root"] * (os.geteuid() == 0)
    with log.open("w") as out:
        server = subprocess.Popen(command, env=reader, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 60
        while not (found := re.search(r"(http://(?:localhost|127\.0\.0\.1):\d+)/", log.read_text())):
            assert server.poll() is None and time.monotonic() < until, f"JupyterLab did not start:\n{log.read_text()}"
            time.sleep(0.3)
        yield Lab(folder, found[1], "secret")
    finally:
        server.terminate()
        server.wait(20)
