"""The command line around the notebooks: run lessons, work on copies of them, check exercises, collect claims.

`root()` is the folder that holds `chapters/`, `solutions/`, `exercises/` and `work/`. Tests point `COURSE_ROOT` at another one.
"""

import os
import sys
from pathlib import Path

# nbformat imports jsonschema, which imports this checker of internationalised addresses, which compiles a grammar for seconds at each
# start of a process. Notebooks need no such check, and jsonschema does without where the package cannot be imported.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def root() -> Path:
    """The repository that the course works on."""
    return Path(os.environ.get("COURSE_ROOT") or Path(__file__).parents[1]).resolve()
