"""Stored signals, read once and decided over: the columns that the rules need, and no text.

Shapes: N documents, in the order of positions, R rules.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.decide import first_broken, is_broken
from etymon.corpus.engine import col, from_arrow
from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.policy.origins import urls_from
from etymon.corpus.policy.policy import Policy
from etymon.corpus.policy.rules import Rule
from etymon.corpus.reasons import ORIGIN_REFUSED
from etymon.errors import EtymonError


def numeric_signals(opened: OpenCorpus) -> list[str]:
    """The columns that can be bounded."""
    kinds = ((each.name, each.type) for each in opened.table.schema_arrow if each.name != "position")
    return [name for name, kind in kinds if pa.types.is_integer(kind) or pa.types.is_floating(kind)]


def read_signals(opened: OpenCorpus, policies: Sequence[Policy]) -> pa.Table:
    """[N] what the rules of these policies are about, and ``row``, null for documents.

    Raises EtymonError where a rule is about a signal that was not measured then.
    """
    known = numeric_signals(opened)
    for policy in policies:
        if strange := next((rule for rule in policy.all_rules if rule.signal not in known), None):
            raise EtymonError(
                f"The rule {strange.reason!r} of {policy.name} is about {strange.signal!r}, which was not measured.",
                "Build the corpus again.",
            )
    wanted = {"words"}.union(*(rule.columns for policy in policies for rule in policy.all_rules))
    table = parquet.read_table(opened.measured, columns=sorted(wanted))
    are_rows_N = _are_rows(opened.table)
    return table.append_column("row", pa.array(are_rows_N, mask=~are_rows_N))


def first_reasons(opened: OpenCorpus, table: pa.Table, policy: Policy) -> pa.Array:
    """[N] the first reason for which each document is dropped before it is compared with anything, null for none."""
    decided: pa.Array = from_arrow(table).select(first_broken(policy).alias("reason")).to_arrow()["reason"].combine_chunks()
    if not policy.origins.refuse:
        return decided
    refused_N = urls_from(opened.decisions("url")["url"].to_pylist(), policy.origins.refuse)
    return compute.if_else(pa.array(refused_N), ORIGIN_REFUSED, decided)


def broken_by_rule(table: pa.Table, rules: Sequence[Rule]) -> NDArray[np.bool_]:
    """[R, N] which documents break each rule, whatever else they break."""
    found = np.zeros((len(rules), len(table)), np.bool_)
    documents_alone = col("row").is_null()
    broken = [is_broken(rule) if rule.rows_too else is_broken(rule) & documents_alone for rule in rules]
    named = [each.fill_null(False).alias(f"{at}") for at, each in enumerate(broken)]
    decided = from_arrow(table).select(*named).to_arrow() if named else pa.table({})
    for at in range(len(rules)):
        found[at] = decided[f"{at}"].to_numpy()
    return found


def judge(
    opened: OpenCorpus, positions: Sequence[int], rules: Sequence[Rule]
) -> tuple[list[dict[str, Any]], NDArray[np.bool_]]:
    """Signals of K documents that some rules are about, and which of these rules [R, K] they break."""
    wanted = sorted({"row", "words"}.union(*(rule.columns for rule in rules)))
    rows = opened.rows(positions, *wanted)
    schema = opened.table.schema_arrow
    table = pa.Table.from_pylist(rows, pa.schema([schema.field(name) for name in wanted]))
    return rows, broken_by_rule(table, rules)


def _are_rows(file: parquet.ParquetFile) -> NDArray[np.bool_]:
    """[N] which documents are conversations or preferences, by what the file says of itself where that is enough."""
    column = file.schema_arrow.names.index("row")
    parts = [np.zeros(0, np.bool_)]
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        known = group.column(column).statistics
        nulls = known.null_count if known is not None and known.has_null_count else None
        if nulls in (0, group.num_rows):
            parts.append(np.full(group.num_rows, nulls == 0))
        else:
            parts.append(file.read_row_group(number, ["row"])["row"].is_valid().to_numpy())
    return np.concatenate(parts)
