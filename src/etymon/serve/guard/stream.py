"""A guard over text that comes piece by piece: nothing is sent that may turn out to be a part of something refused."""

from etymon.serve.guard.rules import NOTHING, Found, Screen
from etymon.serve.guard.seen import Seen, View, origin, tags_of, words_of, words_of_json

_LOOK_BACK = 32
"""Characters before those not yet sent that are looked at again: words end there, and patterns may look behind."""
_LONGEST_TAGS = 4096
"""Invisible tag characters that are kept."""


class GuardedStream:
    """One answer as it is generated. What has been fed and is not returned is held back until it is clear.

    What invisible tags spell is found when it is complete, and not held back.
    """

    def __init__(self, screen: Screen, *, json: bool = False) -> None:
        """``json``: the text is JSON, in which letters can be escaped."""
        self._screen = screen
        self._views: tuple[View, ...] = (words_of, words_of_json) if json else (words_of,)
        self._text = self._tags = ""
        """The end of what was fed, with what was sent directly before the first that was not."""
        self._sent = 0
        self.found: Found | None = None

    def feed(self, piece: str) -> str:
        """What may be sent now; nothing, once a rule is broken (``found``)."""
        if self.found:
            return ""
        self._text += piece
        self._tags = (self._tags + tags_of(piece))[-_LONGEST_TAGS:]
        looked = [self._look(view, whole=False) for view in self._views]
        return "" if self.found else self._release(min(looked))

    def end(self) -> str:
        """The rest of what may be sent."""
        if self.found is None:
            for view in self._views:
                self._look(view, whole=True)
        return "" if self.found else self._release(len(self._text))

    def _look(self, view: View, *, whole: bool) -> int:
        """Up to where the text is clear."""
        seen, before = Seen(view(self._text)), Seen(view(self._text[: self._sent]))
        self.found = self.found or self._screen.look(seen, before, whole=whole)
        if self._tags and not self.found:
            self.found = self._screen.look(Seen(words_of(self._tags)), NOTHING, whole=whole)
        if self.found or whole:
            return len(self._text)
        letter, word = self._screen.terms.open_letter(seen, before), self._screen.open_word(seen, before)
        if isinstance(word, Found):
            self.found = word
            return len(self._text)
        clear = [len(self._text)]
        if letter is not None:
            clear.append(origin(self._text, lambda text: len(Seen(view(text)).letters), letter, self._sent))
        if word is not None:
            clear.append(origin(self._text, lambda text: len(view(text)), word, self._sent))
        return min(clear)

    def _release(self, until: int) -> str:
        released = self._text[self._sent : until]
        forget = max(0, until - _LOOK_BACK)
        self._text, self._sent = self._text[forget:], until - forget
        return released
