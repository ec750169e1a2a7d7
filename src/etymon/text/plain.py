"""Names as they may be shown."""


def plain(text: str) -> str:
    """A name from a file, without characters that would steer a terminal or reverse the reading direction."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
