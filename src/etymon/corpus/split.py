"""Which units are held out: whole units, and those that share near duplicates or a prompt always together."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from etymon.errors import EtymonError

Unit = tuple[str, str]
"""(source, unit)."""


@dataclass(frozen=True)
class Split:
    """The units held out, and how many units are bound to others."""

    heldout: frozenset[Unit]
    units: int
    linked: int


def split_units(units: Mapping[int, Unit], links: Sequence[Mapping[int, Hashable]], share: float, seed: int) -> Split:
    """Hold out ``share`` of the units, at least one, by ``seed``.

    ``units`` gives the unit of each document (by position). A link gives what documents may have in common, of those that
    have it: their near-duplicate cluster, their prompt. Units with something in common form a group; a group goes to one side
    whole. So no held-out document has a near duplicate in training, and nothing has to be dropped for that. A group that is
    larger than what is still to be held out stays in training. Raises EtymonError where fewer than two groups leave nothing
    to hold out.
    """
    groups = _groups(units, links)
    total = sum(map(len, groups))
    wanted = max(1, round(share * total))
    chosen: set[Unit] = set()
    for group in sorted(groups, key=lambda group: _draw(group, seed)):
        if len(chosen) + len(group) <= wanted:
            chosen |= group
    if not chosen and groups:  # every group is larger than the share: the smallest, if it leaves the greater part
        smallest = min(groups, key=lambda group: (len(group), _draw(group, seed)))
        chosen = set(smallest) if 2 * len(smallest) <= total else chosen
    if not chosen or len(chosen) == total:
        why = f"its {total} units resemble each other too much to be divided" if total > 1 else "it is a single short unit"
        raise EtymonError(
            f"Nothing can be held out of this corpus: {why} (a unit is a file, row or module).",
            "At least 2 units that do not resemble each other are needed; add other documents.",
        )
    return Split(frozenset(chosen), total, sum(len(group) for group in groups if len(group) > 1))


def _groups(units: Mapping[int, Unit], links: Sequence[Mapping[int, Hashable]]) -> list[frozenset[Unit]]:
    """Connected components of units under "has a document with something in common"."""
    component: dict[Unit, set[Unit]] = {unit: {unit} for unit in units.values()}
    for link in links:
        first: dict[Hashable, Unit] = {}
        for position, common in link.items():
            one, other = component[units[position]], component[first.setdefault(common, units[position])]
            if one is not other:
                small, large = sorted((one, other), key=len)
                large |= small
                component.update(dict.fromkeys(small, large))
    return list({id(members): frozenset(members) for members in component.values()}.values())


def _draw(group: Iterable[Unit], seed: int) -> str:
    """A group's place in the seeded order: by its first unit's name, so that it does not depend on the machine."""
    source, unit = min(group)
    return sha256(f"{seed}\0{source}\0{unit}".encode()).hexdigest()
