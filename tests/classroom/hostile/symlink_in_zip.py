"""A link in a zip to a file of the grader. It is not followed."""

import stat
import zipfile

SAYS = {"refused": ["a link, which is not followed"]}


def export(write, notebook):
    link = zipfile.ZipInfo("ada/98_decay.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return write({link: b"/etc/passwd"})
