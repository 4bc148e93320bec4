"""`python -m course`: the same as `course`, for machines where scripts are not on the path."""

from course.cli import main

if __name__ == "__main__":
    main()
