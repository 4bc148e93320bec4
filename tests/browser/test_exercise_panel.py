"""Lesson 35's exercise as a learner does it: a wrong answer and its sentence, a hint, the right answer, the panel turning green."""

import os
import subprocess
import sys

import nbformat
import pytest

from course import answers, root

NAME = "35_icl_gradient_descent"
PLACE = f"07_in_context_learning/{NAME}"


@pytest.fixture
def exercise(lab):
    """The learner's copy on the server; its own solution and one wrong answer to task 1."""
    nb = nbformat.read(root() / "exercises" / f"{PLACE}.ipynb", 4)
    nbformat.write(nb, lab.folder / f"{NAME}.ipynb")
    solved = nbformat.read(root() / "solutions" / f"{PLACE}.ipynb", 4)
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in nb.cells]
    source = next(c.source for c in solved.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "task-1")
    right = "\n".join(line for line in source.splitlines() if "### " not in line)
    known = answers.load(root() / "tests/answers" / f"{PLACE}.py")
    wrong = answers.text(next(iter(known.wrong[1].values())), source)
    wrong = "\n".join(line for line in wrong.splitlines() if "### " not in line)
    return ids.index("task-1"), right, wrong


def test_from_a_wrong_answer_to_a_green_panel(browser, lab, exercise):
    at, right, wrong = exercise
    page = lab.open(browser, f"{NAME}.ipynb")
    cell = page.locator(".jp-Notebook .jp-Cell").nth(at)
    page.locator(".jp-Notebook .jp-Cell").first.locator(".cm-content, .jp-RenderedMarkdown").first.click()
    page.keyboard.press("Escape")
    for _ in range(at):
        page.keyboard.press("Shift+Enter")
    panel = page.locator(".jp-OutputArea .widget-vbox, .jp-OutputArea .jupyter-widgets").first
    panel.get_by_text("Task 1").first.wait_for()
    assert panel.get_by_text("not tried yet").count() >= 3

    def answer(code: str) -> None:
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(code)
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(800)
        check = page.get_by_role("button", name="Check").first
        check.scroll_into_view_if_needed()
        check.click()

    answer(wrong)
    status = page.locator('[role="status"]').first
    page.wait_for_function("document.querySelector('[role=\"status\"]')?.textContent?.length > 20")
    said = status.inner_text()
    assert "Traceback" not in said and "point" in said, said
    assert page.get_by_text("✗ failed").or_(page.get_by_text("◐ partly")).count() >= 1
    page.get_by_role("button", name="Hint").first.click()
    page.wait_for_function("document.querySelector('[role=\"status\"]').textContent.includes('Hint 1')")
    answer(right)
    page.get_by_text("✓ passed").first.wait_for()
    page.get_by_text("✓ passed").first.scroll_into_view_if_needed()
    if folder := os.environ.get("COURSE_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/panel.png")
    page.close()

    reader = os.environ | {"COURSE_DATA": str(lab.folder / "data")}
    progress = subprocess.run(
        [sys.executable, "-m", "course", "progress"], env=reader, capture_output=True, text=True, check=True, cwd=root()
    )
    assert "icl_gradient_descent" in progress.stdout
