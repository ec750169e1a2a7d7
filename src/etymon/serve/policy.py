"""The policy of a service: permitted uses, what is refused, how answers are labelled, what is kept. One YAML file."""

from pathlib import Path

from pydantic import Field, ValidationError

from etymon.errors import EtymonError
from etymon.recipe import explain_invalid, read_mapping
from etymon.serve.guard.guard import Guarded
from etymon.serve.guard.rules import Rule
from etymon.serve.labels import Labels
from etymon.store import Config


class Audited(Config):
    """What is kept of every request."""

    texts: bool = False
    """Questions and answers too; otherwise only who asked which model, how much and what was decided."""
    days: int = Field(180, ge=1, le=36_500)
    """Records older than this are removed."""


class ServicePolicy(Config):
    """A policy, its terms read from their files."""

    name: str = ""
    permitted_uses: tuple[str, ...] = ()
    """Shown to whoever uses the service."""
    guard: Guarded = Guarded()
    labels: Labels = Labels()
    audit: Audited = Audited()


def read_policy(path: Path) -> ServicePolicy:
    """Raises EtymonError that names file, key and remedy."""
    content = read_mapping(path, "policy of a service", "the keys `guard`, `labels` and `audit`", "Check the path.")
    try:
        policy = ServicePolicy.model_validate(content)
    except ValidationError as error:
        raise explain_invalid(path, error, ServicePolicy) from None
    rules = tuple(_with_files(rule, path) for rule in policy.guard.rules)
    return policy.model_copy(update={"guard": policy.guard.model_copy(update={"rules": rules})})


def _with_files(rule: Rule, policy: Path) -> Rule:
    terms = [term for name in rule.files for term in _read_terms(policy.parent / Path(name).expanduser(), rule.id)]
    return rule.model_copy(update={"terms": (*rule.terms, *terms), "files": ()})


def _read_terms(path: Path, rule: str) -> list[str]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EtymonError(
            f"The terms of the rule {rule}, {path}, cannot be read: {error}.", "One term a line, in UTF-8."
        ) from None
    terms = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not terms:
        raise EtymonError(f"{path} holds no term for the rule {rule}.", "Write one a line, or take the file out of the rule.")
    return terms
