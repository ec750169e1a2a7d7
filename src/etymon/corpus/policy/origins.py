"""Whether something came from a place that a policy names: a domain with all below it, or a pattern."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray


def domain_of(url: str | None) -> str | None:
    """The host of an address, lower case and without ``www.``; None where there is none."""
    if not url or "://" not in url:
        return None
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return host.removeprefix("www.") if host else None


def is_from(origin: str, patterns: Iterable[str]) -> bool:
    """Whether an origin matches one of the patterns, in any case.

    ``example.org`` is a domain with all its subdomains; anything with a wildcard, a slash or a colon is a pattern for the
    whole origin (``https://*.gov/*``, ``hf:allenai/*``, ``our wiki*``); ``any`` matches all.
    """
    whole, domain = origin.strip().lower(), domain_of(origin.strip().lower())
    for pattern in (each.strip().lower() for each in patterns):
        if pattern == "any" or fnmatchcase(whole, pattern):
            return True
        host = domain or whole  # an origin may be given as a bare domain
        named = pattern.removeprefix("www.")
        if _is_domain(pattern) and (host == named or host.endswith(f".{named}")):
            return True
    return False


def urls_from(urls: Sequence[str | None], patterns: Sequence[str]) -> NDArray[np.bool_]:
    """[N] whether each document's address is from a place that the patterns name; False where it has none."""
    if not patterns:
        return np.zeros(len(urls), np.bool_)
    known: dict[str, bool] = {}
    found_N = np.zeros(len(urls), np.bool_)
    by_domain = all(map(_is_domain, patterns))  # then one question a domain is enough
    for at, url in enumerate(urls):
        if url is not None:
            key = (domain_of(url) or url) if by_domain else url
            if key not in known:
                known[key] = is_from(url, patterns)
            found_N[at] = known[key]
    return found_N


def _is_domain(pattern: str) -> bool:
    return "." in pattern and not any(each in pattern for each in "*?[/: ")
