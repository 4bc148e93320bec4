"""``python docs/site [FOLDER]``: the course as a static site in FOLDER (build/site), from the stored outputs; nothing is executed."""

import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import main as sphinx

sys.path.insert(0, str(Path(__file__).parent))

from sources import assemble  # noqa: E402

from course.syllabus import load  # noqa: E402

syllabus = load()
site = Path(sys.argv[1]) if sys.argv[1:] else syllabus.root / "build" / "site"
# Sphinx leaves the mark .buildinfo in what it built
if sys.argv[1:] and site.exists() and any(site.iterdir()) and not (site / ".buildinfo").exists():
    sys.exit(f"{site} holds files that are no site of this course: name an empty or a new folder. Nothing was changed.")
shutil.rmtree(site, ignore_errors=True)
with tempfile.TemporaryDirectory() as scratch:
    sources = Path(scratch) / "sources"
    assemble(syllabus, sources)
    code = sphinx(
        ["-q", "-W", "--keep-going", "-b", "html", "-c", str(Path(__file__).parent), "-d", f"{scratch}/doctrees", str(sources), str(site)]
    )
if code == 0:
    print(f"The site is in {site}: open {site / 'index.html'} in a browser.")
sys.exit(code)
