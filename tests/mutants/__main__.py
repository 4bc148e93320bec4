"""`python tests/mutants [LESSON …] [--all]`: break each build step of these lessons (or of all of them), list the mutants that survive."""

import os
import sys

os.environ |= {"COURSE_HEADLESS": "1", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

from mutation import PER_STEP, judge  # noqa: E402

from course.errors import CourseError  # noqa: E402  (the settings above are read when torch is imported)
from course.syllabus import load  # noqa: E402


def main(arguments: list[str]) -> int:
    syllabus = load()
    names = [argument for argument in arguments if argument != "--all"]
    try:
        lessons = [syllabus.find(name) for name in names] or [lesson for lesson in syllabus.lessons if lesson.notebook.exists()]
    except CourseError as error:
        print(error)
        return 2
    failed = False
    for lesson in lessons:
        if not lesson.notebook.exists():
            print(f"{lesson.slug} has no notebook yet.")
            return 2
        print(lesson.slug, flush=True)
        os.chdir(lesson.notebook.parent)  # as in Jupyter
        if (pid := os.fork()) == 0:  # each lesson in a process of its own: seeds, threads and imports of one do not reach the next
            result = judge(lesson.notebook, None if "--all" in arguments else PER_STEP, lambda line: print(line, flush=True))
            for problem in result.problems:
                print(f"  {problem}")
            print(f"{lesson.slug}: {result.stopped} of {result.tried} mutants stopped, {result.equivalent} named as equivalent", flush=True)
            os._exit(bool(result.problems))
        failed |= os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
