"""A file that is no notebook. 0 points, and the reason."""

POINTS = 0
SAYS = "not JSON"


def notebook(nb):
    return b"\x89PNG this is a photo of my notebook"
