"""nbgrader's view of the course: solutions/ its sources, exercises/ its releases, a chapter an assignment, a lesson a notebook in it."""

from nbgrader.converters.generate_assignment import GenerateAssignment
from nbgrader.preprocessors import NbGraderPreprocessor

from course.release import STUB, drop_rubric


class DropRubric(NbGraderPreprocessor):
    """Takes the rubric and the model answer's notes out of what students get."""

    def preprocess(self, nb, resources):
        return drop_rubric(nb), resources


c = get_config()  # noqa: F821 (nbgrader defines it)
c.CourseDirectory.course_id = "transformers-rebuilt"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.ClearSolutions.code_stub = {"python": STUB}
c.GenerateAssignment.preprocessors = [DropRubric, *GenerateAssignment.preprocessors.default_args[0]]
