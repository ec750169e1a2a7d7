"""A classifier that somebody else runs, asked as OpenAI's moderation endpoint is (``POST {input}`` → ``results``)."""

import os
from typing import Annotated, Any, Literal

import httpx
from pydantic import AfterValidator, Field

from etymon.errors import EtymonError
from etymon.serve.guard.rules import Found, Sides
from etymon.store import Config

RULE = "classifier"
"""What its findings are called in the log, a colon and the category after it."""


def _address(url: str) -> str:
    if httpx.URL(url).scheme not in ("http", "https") or not httpx.URL(url).host:
        raise ValueError(f"{url!r} is no address of a service, such as http://localhost:8001/v1/moderations")
    return url


class Classifier(Config):
    """Where it is, and from which score on a category is refused."""

    url: Annotated[str, AfterValidator(_address)]
    model: str | None = None
    key_variable: str | None = None
    """Environment variable that holds its key."""
    thresholds: dict[str, Annotated[float, Field(gt=0, le=1)]] | None = None
    """Scores by category; without them its own ``flagged`` decides."""
    sides: Sides = ("input",)
    seconds: float = Field(5.0, gt=0, le=60)
    on_failure: Literal["refuse", "allow"] = "refuse"
    """What becomes of a text that it did not answer for."""

    def key(self) -> str | None:
        """Raises EtymonError where the variable is not set."""
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable)
        if not key:
            raise EtymonError(f"The classifier's key is missing: {self.key_variable} is not set.", "Set it, and start again.")
        return key


class Asked:
    """The classifier as a running service asks it."""

    def __init__(self, classifier: Classifier) -> None:
        """Raises EtymonError where its key is missing."""
        self._classifier = classifier
        key = classifier.key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.AsyncClient(headers=headers, timeout=classifier.seconds)

    async def find(self, text: str) -> Found | None:
        """The category that a text is refused for, if any."""
        wanted = self._classifier
        asked = {"input": text} | ({"model": wanted.model} if wanted.model else {})
        try:
            answer = await self._client.post(wanted.url, json=asked)
            category = _category(answer.raise_for_status().json(), wanted.thresholds)
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError):
            return Found(f"{RULE}:no-answer") if wanted.on_failure == "refuse" else None
        return Found(f"{RULE}:{category}") if category else None

    async def close(self) -> None:
        await self._client.aclose()


def _category(answer: Any, thresholds: dict[str, float] | None) -> str | None:
    """The category whose score is furthest above its threshold; without thresholds the first that is flagged."""
    (result,) = answer["results"]
    if thresholds is None:
        if not result["flagged"]:
            return None
        return next((str(name) for name, flagged in result.get("categories", {}).items() if flagged), "flagged")
    scores = {name: float(result["category_scores"][name]) / least for name, least in thresholds.items()}
    worst = max(scores, key=lambda name: scores[name], default=None)
    return worst if worst is not None and scores[worst] >= 1 else None
