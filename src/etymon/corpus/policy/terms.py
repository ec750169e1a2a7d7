"""Sources with refused terms, where the data policy refuses the source and not the document."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as compute
import pyarrow.parquet as parquet

from etymon.corpus.policy.check import REFUSED_TERM
from etymon.corpus.policy.policy import Policy
from etymon.corpus.signals.kinds import REFUSED_TERMS
from etymon.recipe import Waiver
from etymon.waivers import Breach, Waived, settle


def refuse_sources_with_terms(documents: Path, policy: Policy, waivers: Sequence[Waiver]) -> list[Waived]:
    """The sources with refused terms that are waived, by the signals of their documents. Raises EtymonError for one that is
    not. Without such a rule there is nothing to waive."""
    if policy.refused_terms is None or policy.refused_terms.action != "refuse-source":
        return []
    table = parquet.read_table(documents, columns=["source", "unit", REFUSED_TERMS])
    held = table.filter(compute.greater(table[REFUSED_TERMS], 0))
    totals = {each["values"]: each["counts"] for each in compute.value_counts(table["source"]).to_pylist()}
    breaches = []
    for source in compute.unique(held["source"]).to_pylist():
        units = held.filter(compute.equal(held["source"], source))["unit"].to_pylist()
        found = f"{len(units):,} of its {totals[source]:,} documents hold refused terms, the first {units[0]}"
        breaches.append(
            Breach(REFUSED_TERM, source, found, "Clean the source, leave it out, or let such documents be dropped.")
        )
    return settle(breaches, waivers, f"the data policy {policy.name}", [REFUSED_TERM])
