"""Whether something came from a place that a policy names: a domain with all below it, or a pattern."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

_BARE = re.compile(r"(?://)?(?:[^\s/@]*@)?[^\s/:?#@]+\.[^\s/:?#@]+(?:[:/?#]\S*)?")
"""An address without its scheme: ``example.org``, ``www.example.org/a?b``, ``//example.org:8080``."""


def domain_of(url: str | None) -> str | None:
    """The host of an address, with its scheme or without, lower case and without ``www.``; None where there is none."""
    try:
        host = urlsplit(_with_scheme(url or "")).hostname
    except ValueError:
        return None
    return host.rstrip(".").removeprefix("www.") or None if host else None


def is_from(origin: str, patterns: Iterable[str]) -> bool:
    """Whether an origin matches one of the patterns, in any case.

    ``example.org`` is a domain with all its subdomains; anything with a wildcard, a slash or a colon is a pattern for the
    whole origin (``https://*.gov/*``, ``hf:allenai/*``, ``our wiki*``); ``any`` matches all. An address without a scheme is
    compared with ``https://`` and ``http://`` before it, too.
    """
    whole = origin.strip().lower()
    domain, secure = domain_of(whole), _with_scheme(whole)
    written = (whole,) if secure == whole else (whole, secure, secure.replace("https", "http", 1))
    for pattern in (each.strip().lower() for each in patterns):
        if pattern == "any" or any(fnmatchcase(each, pattern) for each in written):
            return True
        named = pattern.removeprefix("www.")
        if domain and _is_domain(pattern) and (domain == named or domain.endswith(f".{named}")):
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


def _with_scheme(origin: str) -> str:
    """An address with a scheme; anything else as it is."""
    return f"https://{origin.removeprefix('//')}" if _BARE.fullmatch(origin) else origin


def _is_domain(pattern: str) -> bool:
    return "." in pattern and not any(each in pattern for each in "*?[/: ")
