"""Training content as the European template groups it: public datasets, licensed, crawled, user and synthetic data, other.

Which group a source belongs to is for the organisation to say; amounts, languages, licences and domains come from the corpus.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from etymon.evidence.filings.known import Facts, Known, known_from, value_of
from etymon.store import Artifact

GROUPS = {
    "public": ("public",),
    "licensed": ("licensed", "private"),
    "crawled": ("crawled",),
    "user": ("user",),
    "synthetic": ("synthetic",),
    "other": ("other",),
}
_BANDS = ((1e9, "less than 1 billion tokens"), (1e13, "1 billion to 10 trillion tokens"))
_DOMAIN_SHARE, _SMALL_SHARE, _SMALL_MOST = 0.10, 0.05, 1000


def content_facts(facts: Facts, corpus: Artifact) -> dict[str, Known]:
    """``content.*``: what the summary of training content asks for and the run with the organisation's file can say."""
    composition: Mapping[str, Any] = corpus.facts.get("composition") or {}
    own = {each["source"]: each for each in value_of(facts, "organisation.sources") or []}
    declared = {each["source"]: each for each in value_of(facts, "corpus.sources") or []}
    values: dict[str, Any] = {}
    for group, categories in GROUPS.items():
        named = [name for name in declared if own.get(name, {}).get("category") in categories]
        values[f"content.{group}"] = [_sentence(declared[name], own[name], composition) for name in named]
    grouped = [name for name in declared if own.get(name, {}).get("category")]
    if declared and len(grouped) == len(declared):
        for group in GROUPS:
            values[f"content.{group}"] = values[f"content.{group}"] or "none"
        values["content.grouped"] = True
    found = known_from(values, f"{corpus.name} and the organisation's file", "declared")
    if any(own.get(name, {}).get("category") == "crawled" for name in declared):
        found |= _domains(composition, bool(value_of(facts, "organisation.eu.small_or_medium")), corpus.name)
    elif values.get("content.grouped"):
        found |= known_from({"content.domains": "none was crawled"}, "organisation's file", "declared")
    return found | _size(facts) | known_from({"content.modalities": "text", "content.types": _types(corpus)}, corpus.name)


def _types(corpus: Artifact) -> str | None:
    """What kinds of text there are, by number."""
    rows = {kind: count for kind, count in corpus.facts.get("rows", {}).items() if count}
    total = corpus.facts.get("documents_train")
    if total is None:
        return None
    words = {"conversation": "conversations", "pair": "pairs of a better and a worse answer", "judged": "judged answers"}
    counts = {"documents of text": total - sum(rows.values())} | {words[kind]: count for kind, count in rows.items()}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _size(facts: Facts) -> dict[str, Known]:
    """The band of the text's size, in tokens of one pass over the training documents."""
    tokens, epochs = value_of(facts, "training.tokens_seen"), value_of(facts, "training.epochs")
    if not tokens or not epochs:
        return {}
    once = tokens / epochs
    band = next((words for limit, words in _BANDS if once < limit), "more than 10 trillion tokens")
    note = f"about {once:,.0f} tokens in one pass over the corpus; the base's own training data is not in it"
    return {"content.size": Known(value=band, origin=facts["training.tokens_seen"].origin, note=note)}


def _domains(composition: Mapping[str, Any], small: bool, origin: str) -> dict[str, Known]:
    """The domains with the most documents: the top 10%, for a small or medium enterprise 5% or 1,000, the fewer."""
    domains, count = composition.get("domains", ()), composition.get("domain_count", 0)
    if not domains:
        return {}
    wanted = math.ceil(count * (_SMALL_SHARE if small else _DOMAIN_SHARE))
    wanted = min(wanted, _SMALL_MOST) if small else wanted
    names = [each["name"] for each in domains[:wanted]]
    short = f"; only the first {len(names):,} of {wanted:,} are recorded" if len(names) < wanted else ""
    note = f"{len(names):,} of {count:,} domains, by documents{short}"
    return {"content.domains": Known(value=names, origin=origin, note=note)}


def _sentence(declared: Mapping[str, Any], own: Mapping[str, Any], composition: Mapping[str, Any]) -> str:
    return f"{declared['source']}: {'; '.join(_parts(declared, own, composition))}"


def _parts(declared: Mapping[str, Any], own: Mapping[str, Any], composition: Mapping[str, Any]) -> Iterator[str]:
    if own.get("description"):
        yield str(own["description"])
    if declared.get("origin"):
        yield f"from {declared['origin']}"
    yield f"licence {declared['license']}"
    amounts = [part["train"] for part in composition.get("parts", ()) if part["source"] == declared["source"]]
    if amounts:
        yield f"{sum(each['documents'] for each in amounts):,} documents, {sum(each['words'] for each in amounts):,} words"
    if collected := declared.get("collected"):
        yield f"collected {collected['from']} to {collected['to']}"
    if own.get("crawler"):
        yield f"crawler: {own['crawler']}"
    if own.get("crawled"):
        yield f"crawled {own['crawled']}"
    writer = (declared.get("generated_by") or {}).get("model")
    if models := [*own.get("generator_models", ()), *([writer] if writer else [])]:
        yield f"written by {', '.join(dict.fromkeys(models))}"
