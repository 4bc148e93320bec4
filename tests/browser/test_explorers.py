"""Explorers in a live JupyterLab: every control is moved, the picture changes, nothing breaks. Three lessons; all with COURSE_ALL=1."""

import os
import statistics
import time

import nbformat
import pytest

from course import syllabus

CHOSEN = ("00_how_this_course_works", "04_kernels", "13_mamba")
LESSONS = [lesson for lesson in syllabus.load().lessons if lesson.notebook.exists()]
TRIED = [lesson for lesson in LESSONS if os.environ.get("COURSE_ALL") or lesson.slug in CHOSEN]


@pytest.mark.parametrize("lesson", TRIED, ids=lambda lesson: lesson.slug)
def test_every_control_changes_the_picture(browser, lab, lesson):
    nb = nbformat.read(lesson.notebook, 4)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    explorers = [i for i, cell in enumerate(nb.cells) if cell.cell_type == "code" and "explore(" in cell.source]
    assert explorers, f"{lesson.slug} has no explorer"
    nb.cells = nb.cells[: explorers[-1] + 1]
    nbformat.write(nb, lab.folder / f"{lesson.slug}.ipynb")
    page = lab.open(browser, f"{lesson.slug}.ipynb")
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.keyboard.press("Escape")
    run_all(page)
    last = page.locator(".jp-Notebook .jp-Cell").nth(explorers[-1])
    last.locator("img").first.wait_for(timeout=600_000)
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    answers = []
    for control in last.locator("[role=slider], select, input[type=checkbox]").all():
        control.scroll_into_view_if_needed()
        name = control.evaluate("e => e.closest('.jupyter-widgets')?.querySelector('label')?.textContent")
        before, start = picture(last), time.monotonic()
        for move in moves(page, control):  # at the end of its range a control goes the other way
            move()
            while picture(last) == before and time.monotonic() - start < 6:
                page.wait_for_timeout(10)
            if picture(last) != before:
                answers.append(time.monotonic() - start)
                break
            start = time.monotonic()
        else:
            pytest.fail(f"moving «{name}» of {lesson.slug} leaves the picture as it was")
    assert answers, f"{lesson.slug}: no control found"
    assert last.get_by_text("This setting cannot be drawn").count() == 0
    assert last.locator("summary").first.is_visible(), "what to notice unfolds once something has been moved"
    print(f"{lesson.slug}: {len(answers)} controls, median answer {1000 * statistics.median(answers):.0f} ms")
    if folder := os.environ.get("COURSE_SCREENSHOTS"):
        last.scroll_into_view_if_needed()
        page.screenshot(path=f"{folder}/{lesson.slug}.png")
        page.get_by_role("menuitem", name="Settings", exact=True).click()
        page.get_by_text("Theme", exact=True).first.hover()
        page.get_by_text("JupyterLab Dark", exact=True).first.click()
        page.wait_for_selector('body[data-jp-theme-light="false"]', state="attached")
        last.scroll_into_view_if_needed()
        page.screenshot(path=f"{folder}/{lesson.slug}_dark.png")
    page.close()


def moves(page, control):
    """What a reader can do with a control, one way and the other."""
    if control.evaluate("e => e.tagName") == "SELECT":
        chosen, count = control.evaluate("e => [e.selectedIndex, e.options.length]")
        return [lambda: control.select_option(index=(chosen + 1) % count), lambda: control.select_option(index=(chosen + 2) % count)]
    if control.get_attribute("type") == "checkbox":
        return [control.click]
    return [lambda: control.press("ArrowRight"), lambda: control.press("ArrowLeft")]


def run_all(page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).first.click()


def picture(cell) -> str:
    return cell.locator("img").last.get_attribute("src") or ""
