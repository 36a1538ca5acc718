"""A command for tests of the queue: runs Python code, whatever it does."""

import sys

from imitation.jobs.parameters import JobParameters, run


class Script(JobParameters):
    code: str
    arguments: tuple[str, ...] = ()


def work(parameters: Script) -> int:
    sys.argv = ["-c", *parameters.arguments]
    exec(compile(parameters.code, "<string>", "exec"), {"__name__": "__main__"})
    return 0


if __name__ == "__main__":
    sys.exit(run(Script, work, None, prog="script", about="Runs code."))
