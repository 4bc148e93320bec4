"""Replaces a method of the grader's own class, when the first test calls the answer. Noticed, put back."""

LONG = True
POINTS = 3
FLAG = "replaces course.grading.Attempt.test"
ANSWER = r"""def decayed(x, a):
    from course.grading import Attempt
    Attempt.test = lambda self, test: {'id': test.id, 'points': test.points, 'message': '', 'replaced': []}
    return x
"""
