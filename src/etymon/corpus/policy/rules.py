"""Rules: bounds on signals, which decide over stored columns what is dropped; and the sets of them that papers published.

A set is a file in ``rule_sets/``. A policy names those it wants beside rules of its own.
"""

import difflib
from importlib.resources import as_file, files

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from etymon.errors import EtymonError
from etymon.recipe import explain_invalid, read_mapping
from etymon.store import Config
from etymon.text.counted import counted

RULE_SETS = ("gopher-quality", "gopher-repetition", "c4", "c4-any-ending", "fineweb", "fineweb2", "language-score")
_FOLDER = files("etymon.corpus.policy").joinpath("rule_sets")


class Rule(Config):
    """A document is dropped for ``reason`` where its signal lies below or above the bound and it has enough words to tell."""

    reason: str
    signal: str
    below: FiniteFloat | None = None
    above: FiniteFloat | None = None
    languages: dict[str, FiniteFloat | None] = Field(default_factory=dict)
    """Bounds of documents in these languages, in place of the other; null where the rule does not hold."""
    from_words: int = 0
    rows_too: bool = False
    """Whether it holds for conversations and preferences: a short answer, or one that repeats its prompt, is a good one."""

    @model_validator(mode="after")
    def _one_bound(self) -> "Rule":
        if (self.below is None) == (self.above is None):
            raise ValueError("a rule has one bound, `below` or `above`")
        return self

    @property
    def columns(self) -> frozenset[str]:
        """The stored columns that it takes to decide."""
        return frozenset({self.signal, "words"} | ({"language"} if self.languages else set()))

    @property
    def default_bound(self) -> float:
        """The bound for documents in languages without one of their own."""
        bound = self.below if self.below is not None else self.above
        assert bound is not None
        return bound

    def bound(self, language: str) -> float | None:
        """The bound for documents in a language, None where the rule does not hold."""
        return self.languages.get(language, self.default_bound)

    def told(self, language: str) -> str:
        """What it asks of documents in a language."""
        bound = self.bound(language)
        if bound is None:
            return f"{self.signal}, not in {language}"
        return self._bounded(bound) + (f" in {language}" if language in self.languages else "") + self._from_words

    def _bounded(self, bound: float) -> str:
        return f"{self.signal} {'below' if self.below is not None else 'above'} {bound:g}"

    @property
    def _from_words(self) -> str:
        return f", from {self.from_words} words on" if self.from_words else ""

    def __str__(self) -> str:
        said = self._bounded(self.default_bound)
        if self.languages:
            said += f", otherwise in {counted(len(self.languages), 'language')}"
        return said + self._from_words


class RuleSet(Config):
    """A set of rules as it is written."""

    name: str
    description: str
    rules: tuple[Rule, ...]


def load_rules(name: str) -> tuple[Rule, ...]:
    """The rules of a published set. Raises EtymonError for a name that there is not."""
    if name not in RULE_SETS:
        close = difflib.get_close_matches(name, RULE_SETS, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(RULE_SETS)}."
        raise EtymonError(f"There is no set of rules {name!r}.", hint)
    with as_file(_FOLDER.joinpath(f"{name}.yaml")) as path:
        content = read_mapping(path, "set of rules", "`name`, `description` and `rules`", "")
        try:
            return RuleSet.model_validate(content).rules
        except ValidationError as error:
            raise explain_invalid(path, error, RuleSet) from None
