"""Making a folder where a user wants something written."""

import errno
import tempfile
from pathlib import Path

from etymon.errors import EtymonError


def make_folder(folder: Path, remedy: str) -> None:
    """Raises EtymonError where it cannot be made, or nothing can be written into it; a full disk stays an OSError, which is
    told elsewhere."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise EtymonError(f"Nothing can be written into {folder}: {error.strerror}.", remedy) from None
