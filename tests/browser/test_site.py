"""The static site in a real Chromium: built from the stored outputs, complete, found by search, usable by keyboard and on a phone."""

import functools
import http.server
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest

from course import claims, root, syllabus

PHONE = {"width": 375, "height": 700}
LESSON = "07_in_context_learning/35_icl_gradient_descent"
KINDS = {
    "home": "index.html",
    "lesson": f"chapters/{LESSON}.html",
    "exercise": f"exercises/{LESSON}.html",
    "claims board": "docs/claims.html",
    "library": "api/ssm.html",
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Page(HTMLParser):
    """Addresses that a page leads to, and places in it that can be led to."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.places = [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.places |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Folder and address of the built site. Any warning of Sphinx fails the build."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run([sys.executable, root() / "docs" / "site", folder], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-3000:]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    built = subprocess.run([sys.executable, root() / "docs" / "site", tmp_path], capture_output=True, text=True)
    assert built.returncode == 1 and "Nothing was changed" in built.stderr
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_every_lesson_and_exercise_has_its_page(site):
    for lesson in syllabus.load().lessons:
        for kind in ("chapters", "exercises"):
            assert (site[0] / kind / f"{lesson.id}.html").exists() == lesson.notebook.exists(), f"{kind}/{lesson.id}"


def test_no_link_is_broken(site):
    folder, _ = site
    pages = {path.relative_to(folder).as_posix(): Page(path) for path in folder.rglob("*.html")}
    broken = []
    for name, page in pages.items():
        for link in page.links:
            address, place = urldefrag(urljoin(f"http://site/{name}", link).removeprefix("http://site/"))
            if urlparse(link).scheme:
                continue
            target = unquote(address) or name
            if not (folder / target).exists() or target in pages and unquote(place) not in pages[target].places:
                broken.append(f"{name}: {link}")
    assert not broken, "\n".join(broken[:20])


def test_every_page_loads_on_a_phone_from_this_host_alone_and_without_an_error(site, browser):
    folder, address = site
    wrong = []
    page = browser.new_page(viewport=PHONE)
    page.on("console", lambda message: wrong.append(f"{page.url}: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on(
        "request", lambda request: None if request.url.startswith((address, "data:")) else wrong.append(f"{page.url} asks {request.url}")
    )
    for path in sorted(folder.rglob("*.html")):
        page.goto(f"{address}/{path.relative_to(folder).as_posix()}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > PHONE["width"]:
            wrong.append(f"{page.url} is {wide} pixels wide")
    page.close()
    assert not wrong, "\n".join(wrong[:20])


def test_formulas_are_set(site, browser):
    page = browser.new_page()
    page.goto(f"{site[1]}/{KINDS['lesson']}")
    page.locator(".MathJax").first.wait_for()
    assert page.locator(".MathJax_Error, .merror").count() == 0
    page.close()


def test_search_finds_the_selective_scan(site, browser):
    page = browser.new_page()
    page.goto(f"{site[1]}/search.html?q=selective+scan")
    page.locator("#search-results li a").first.wait_for()
    found = page.locator("#search-results li a").all_text_contents()
    assert any("Mamba" in title for title in found), found
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_serious_barrier(site, browser, kind, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{site[1]}/{KINDS[kind]}")
    found = [barrier for barrier in Axe().run(page).response["violations"] if barrier["impact"] in ("serious", "critical")]
    page.close()
    assert not found, "\n".join(f"{barrier['id']}: {barrier['nodes'][0]['html'][:200]}" for barrier in found)


def test_the_keyboard_alone_reaches_the_exercise(site, browser):
    page = browser.new_page()
    page.goto(f"{site[1]}/{KINDS['lesson']}")
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "The exercise":
            break
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{KINDS['exercise']}")
    page.close()


def test_the_board_shows_every_stored_claim_and_filters_it(site, browser):
    rows = [row for _, rows in claims.of_lessons(syllabus.load()) for row in rows]
    page = browser.new_page()
    page.goto(f"{site[1]}/{KINDS['claims board']}")
    assert page.locator("#board tbody tr:visible").count() == len(rows)
    for verdict in claims.COLOURS:
        number = sum(row["verdict"] == verdict for row in rows)
        page.get_by_label("Verdict").select_option(verdict)
        assert page.locator("#board tbody tr:visible").count() == number
        assert re.match(rf"{number} claim", page.locator("#board-count").text_content())
    page.close()


def test_pictures_have_words_and_explorers_say_how_to_move_them(site):
    text = (site[0] / KINDS["lesson"]).read_text(encoding="utf-8")
    pictures = re.findall(r"<img [^>]*>", text)
    assert pictures and all(re.search(r'alt="[^"]{10,}"', picture) for picture in pictures), [p for p in pictures if 'alt=""' in p][:2]
    assert "move its controls, open the lesson in JupyterLab: course lab 35." in re.sub(r"<[^>]+>", "", text)
