"""How many of something, in words."""


def counted(count: int, one: str, several: str | None = None) -> str:
    """``1 item``, ``1,204 items``; ``several`` is given where an s does not make it (``matrices``, ``items repeat``)."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
