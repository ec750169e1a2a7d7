"""The front door: one small module per group of commands, no logic."""

import errno
import os
import sys

from etymon.errors import EtymonError


def main() -> None:
    """Run a command. What the user can mend ends with one message and exit code 2; a bug keeps its traceback.

    Under ``torchrun`` the command runs on rank 0 and the other ranks help it train and score. Where it fails they are
    stopped by torchrun.
    """
    try:
        if int(os.environ.get("RANK", "0")) > 0:
            from etymon.foundation.ranks import follow, leave

            follow()
            leave()
        else:
            _run()
    except EtymonError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _fail(f"The disk is full: {error.filename or 'a file'} could not be written.\nFree some space and run again.")


def _run() -> None:
    from etymon.cli.app import app

    try:
        app()
    except SystemExit as done:
        if not done.code and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from etymon.foundation.ranks import leave, release

            release()
            leave()
        raise


def _fail(message: str) -> None:
    from etymon.text.plain import plain

    print("\n".join(map(plain, f"etymon: {message}".splitlines())), file=sys.stderr)  # a name of a file steers no terminal
    sys.exit(2)
