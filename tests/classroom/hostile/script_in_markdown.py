"""Scripts in the written answer, in Markdown and in stored outputs. The page shows them as text."""

POINTS = 6


def notebook(nb):
    for cell in nb["cells"]:
        if cell["cell_type"] == "markdown" and cell["metadata"]["nbgrader"]["grade_id"] == "written-1":
            cell["source"] = "<script>alert(1)</script> [x](javascript:alert(2)) <img src=x onerror=alert(3)> {{ 7 * 7 }}"
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": {"text/html": "<script>alert(4)</script>"}}]
    return nb
