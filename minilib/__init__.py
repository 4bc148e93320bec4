"""minilib: the shared library that the lessons import.

It is small because the notebooks do the work: a block moves here only when a second lesson needs it, and the lesson that introduces a
block builds it by hand first and checks its version against the one here. Import the rooms by name::

    from minilib.attention import attention, visibility
    from minilib.check import check

Letters used as shapes throughout: ``B`` batch, ``T`` or ``L`` length, ``D`` width, ``H`` heads, ``K`` width of one head, ``F`` width of
the MLP, ``V`` vocabulary, ``N`` size of a state.
"""
