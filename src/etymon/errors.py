"""The one family of errors that reaches a user as a message; anything else is a bug and keeps its traceback."""


class EtymonError(Exception):
    """Something the user can mend. ``remedy`` says how; the command line prints both and exits with code 2."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n{self.remedy}" if self.remedy else self.problem
