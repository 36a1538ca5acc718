"""Errors meant for the reader: what was wrong, the value seen, what to do next."""

_MOST = 4_000
"""Characters of a message or hint; what quotes a longer value loses its middle."""


class UserError(Exception):
    """A problem the user can act on; pages show `message` and `hint`, never a stack trace.

    Args:
        message: What was wrong, with the value seen.
        hint: What to do next; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = _shortened(message), _shortened(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(UserError):
    """A file or setting the user wrote is wrong; `problems` lists every one found."""

    def __init__(self, where: str, problems: list[str], hint: str = "") -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{where}: {count}: " + "; ".join(problems), hint)
        self.where = where
        self.problems = problems


class BackendError(UserError):
    """A model could not answer.

    Args:
        message: What happened, in words.
        hint: What to do next.
        status: HTTP status, where there was one.
        retryable: True where the same request may succeed later.
    """

    def __init__(
        self, message: str, hint: str = "", *, status: int | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.retryable = retryable


class StorageError(UserError):
    """The database or a file of ours could not be read or written."""


class IntegrityError(UserError):
    """A file is not what it should be (wrong hash, not the expected format)."""


def _shortened(text: str) -> str:
    half = _MOST // 2
    return text if len(text) <= _MOST else f"{text[:half]} ... {text[-half:]}"
