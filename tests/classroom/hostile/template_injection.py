"""The answer's error text is a template and HTML. It is text in the page and in the reports."""

POINTS = 3
SAYS = "{{ 7 * 7 }}"


def notebook(nb):
    for cell in nb["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "task-1":
            cell["source"] = "raise ValueError('{{ 7 * 7 }}</pre><script>alert(1)</script> =cmd|calc!A1')"
    return nb
