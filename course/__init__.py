"""The command line around the notebooks: run lessons, work on copies of them, check exercises, collect claims.

`root()` is the folder that holds `chapters/`, `solutions/`, `exercises/` and `work/`. Tests point `COURSE_ROOT` at another one.
"""

import os
from pathlib import Path


def root() -> Path:
    """The repository that the course works on."""
    return Path(os.environ.get("COURSE_ROOT") or Path(__file__).parents[1]).resolve()
