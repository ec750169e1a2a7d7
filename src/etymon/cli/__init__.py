"""The front door: one small module per group of commands, no logic."""

import errno
import sys

from etymon.errors import EtymonError


def main() -> None:
    """Run a command. What the user can mend ends with one message and exit code 2; a bug keeps its traceback."""
    from etymon.cli.app import app

    try:
        app()
    except EtymonError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _fail(f"The disk is full: {error.filename or 'a file'} could not be written.\nFree some space and run again.")


def _fail(message: str) -> None:
    print(f"etymon: {message}", file=sys.stderr)
    sys.exit(2)
