"""What goes wrong for a reader, said in one sentence; `course.cli.main` prints it and ends with its exit code."""


class CourseError(Exception):
    """Something failed; the message is the whole sentence that the reader sees."""

    code = 1


class UsageError(CourseError):
    """The command was typed wrongly: a name that does not exist, options that exclude each other."""

    code = 2


class Interrupted(CourseError):
    """Ctrl-C, after everything was put away."""

    code = 130
