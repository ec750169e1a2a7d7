"""A guard over text that comes piece by piece: nothing is sent that may turn out to be a part of something refused."""

from etymon.serve.guard.rules import Found, Screen

_LOOK_BACK = 512
"""Characters before those not yet sent that are looked at again: a pattern may reach so far."""


class GuardedStream:
    """One answer as it is generated. What has been fed and is not returned is held back until it is clear."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._text = ""
        """The end of what was fed, from ``_LOOK_BACK`` characters before the first that was not sent."""
        self._sent = 0
        self.found: Found | None = None

    def feed(self, piece: str) -> str:
        """What may be sent now; nothing, once a rule is broken (``found``)."""
        if self.found is None:
            self._text += piece
            self.found = self._screen.find(self._text, whole=False)
        return "" if self.found else self._release(self._screen.open_from(self._text))

    def end(self) -> str:
        """The rest of what may be sent."""
        if self.found is None:
            self.found = self._screen.find(self._text)
        return "" if self.found else self._release(len(self._text))

    def _release(self, until: int) -> str:
        released = self._text[self._sent : until]
        self._sent = max(self._sent, until)
        forget = max(0, self._sent - max(_LOOK_BACK, 4 * self._screen.longest))
        space = self._text.rfind(" ", 0, forget)  # not within a word, whose end might be one of the terms
        forget = space + 1 if space >= forget - _LOOK_BACK else forget
        self._text, self._sent = self._text[forget:], self._sent - forget
        return released
