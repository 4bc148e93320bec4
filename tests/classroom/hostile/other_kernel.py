"""The kernel is set to another program. The source's is used."""

LONG = True
POINTS = 6


def notebook(nb):
    nb["metadata"] = {"kernelspec": {"name": "bash", "display_name": "bash", "language": "bash"}, "course": {"x": "../../"}}
    return nb
