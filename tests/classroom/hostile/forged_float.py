"""Returns a number whose text is another. Points are read from plain numbers and cut to their range."""

LONG = True
POINTS = 3
ANSWER = r"""class Rich(float):
    def __repr__(self):
        return '1e9'
def decayed(x, a):
    return Rich(3)
"""
