"""A corpus that is built, opened for looking at: its decisions, and the artifacts that they were made from.

Shapes: N documents, in the order of positions. A position is a row's number in every table of documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.draw import scattered
from etymon.corpus.inspect.asked import asked_parts, built_parts, differences
from etymon.corpus.policy.policy import Policy
from etymon.corpus.reasons import EXACT, EXISTING, NEAR, NOT_MIXED
from etymon.corpus.stages.corpus import DECISIONS, corpus_stage
from etymon.corpus.stages.documents import CUT, DOCUMENTS, UNREAD
from etymon.corpus.stages.overlaps import OVERLAPS
from etymon.errors import EtymonError
from etymon.recipe import load_recipe
from etymon.store import Artifact, Store

_GROUPS = 24


@dataclass(frozen=True)
class OpenCorpus:
    """A corpus with what it was made from."""

    corpus: Artifact
    documents: Artifact
    signals: Artifact
    overlaps: Artifact | None
    changed: tuple[str, ...] = ()
    """What of the recipe that it was opened by is not as it was when this was built."""

    @cached_property
    def policy(self) -> Policy:
        """The policy that it was decided by."""
        return Policy.model_validate(self.corpus.manifest.meaning["policy"])

    @property
    def measured(self) -> Path:
        """The table of signals."""
        return self.signals.file(DOCUMENTS)

    @cached_property
    def table(self) -> parquet.ParquetFile:
        """The same, opened once."""
        return parquet.ParquetFile(self.measured)

    def decisions(self, *columns: str) -> pa.Table:
        """[N] columns of what was decided."""
        return parquet.read_table(self.corpus.file(DECISIONS), columns=list(columns))

    def unread(self, *columns: str) -> pa.Table:
        """What gave no document."""
        return parquet.read_table(self.documents.file(UNREAD), columns=list(columns))

    def cut(self, *columns: str) -> pa.Table:
        """What was left out of rows that were read."""
        return parquet.read_table(self.documents.file(CUT), columns=list(columns))

    def shared(self) -> pa.Table:
        """Documents that share words with evaluation items: position, item, shared, excerpt."""
        if self.overlaps is None:
            return pa.table({"position": pa.array([], pa.int64()), "item": [], "shared": [], "excerpt": []})
        return parquet.read_table(self.overlaps.file(OVERLAPS))

    def survivors(self) -> NDArray[np.int64]:
        """[N] the document that is kept, or was then, in place of each duplicate; its own position for all others."""
        table = self.decisions("id", "reason", "detail")
        reason = table["reason"].combine_chunks().dictionary_encode()
        names = reason.dictionary.to_pylist()
        code_N = reason.indices.fill_null(-1).to_numpy()
        gone_N = np.isin(code_N, [code for code, name in enumerate(names) if name in (EXACT, NEAR)])
        # an id is that of a text, which documents that were dropped for another reason may have too
        able_N = np.isin(code_N, [-1, *(code for code, name in enumerate(names) if name in (EXISTING, NEAR, NOT_MIXED))])
        able, gone = np.flatnonzero(able_N), np.flatnonzero(gone_N)
        ids, details = table["id"].combine_chunks(), table["detail"].combine_chunks()
        place = compute.index_in(details.take(pa.array(gone)), value_set=ids.take(pa.array(able)))
        survivor_N = np.arange(len(table))
        here = place.is_valid().to_numpy(zero_copy_only=False)  # what stays may be in another corpus
        survivor_N[gone[here]] = able[place.drop_null().to_numpy()]
        return survivor_N

    def rows(self, positions: Sequence[int], *columns: str) -> list[dict[str, Any]]:
        """Columns of signals at some positions."""
        return rows_at(self.table, positions, columns)

    def raw(self, positions: Sequence[int]) -> list[str]:
        """Documents as they were read."""
        return [row["raw"] for row in rows_at(parquet.ParquetFile(self.documents.file(DOCUMENTS)), positions, ["raw"])]


def open_corpus(text: str, store: Store) -> OpenCorpus:
    """The corpus of a recipe (a YAML file), of a run, or an artifact by its name or the beginning of it.

    Of a recipe it is the one that it asks for now, if that is built; otherwise the one that was built last, with what has
    ``changed`` since. Raises EtymonError where it is not built, or what it was made from is gone.
    """
    made = {each.name: each for each in store.artifacts()}
    corpora = {name: each for name, each in made.items() if each.manifest.stage == corpus_stage.name}
    path = Path(text)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _of_recipe(path, store, corpora, made)
    pointed = store.pointers().get(text)
    if pointed and pointed.parts.get("corpus") in corpora:
        return _opened(corpora[pointed.parts["corpus"]], made)
    found = [each for name, each in corpora.items() if name.startswith(text)]
    if len(found) == 1:
        return _opened(found[0], made)
    if found:
        raise EtymonError(f"{text} could be {', '.join(each.name for each in found[:5])}.", "Give more of the name.")
    known = [name for name, pointer in store.pointers().items() if pointer.parts.get("corpus") in corpora]
    hint = f"There are {', '.join([*known, *corpora][:8])}." if corpora else "`etymon corpus build RECIPE` builds one."
    raise EtymonError(f"The workspace {store.root} has no corpus {text!r}.", hint)


def newest_corpus(store: Store) -> OpenCorpus:
    """The corpus that was built, or found again, last."""
    for pointer in reversed(store.pointers().values()):
        if name := pointer.parts.get("corpus"):
            return open_corpus(name, store)
    raise EtymonError(f"The workspace {store.root} has no corpus.", "`etymon corpus build RECIPE` builds one.")


def _of_recipe(path: Path, store: Store, corpora: Mapping[str, Artifact], made: Mapping[str, Artifact]) -> OpenCorpus:
    recipe = load_recipe(path)
    asked = asked_parts(recipe, path.resolve().parent, store.digests)
    pointer = store.pointers().get(recipe.name)
    newest_first = sorted(corpora.values(), key=lambda each: each.manifest.created, reverse=True)
    last = corpora.get(pointer.parts.get("corpus", "")) if pointer else None
    if pointer and last is None:  # a build of it was begun since, and not finished
        names = sorted(source.name for source in recipe.corpus.sources)
        last = next((each for each in newest_first if sorted(each.facts["source_digests"]) == names), None)
    for corpus in [*([last] if last else []), *newest_first]:
        try:
            opened = _opened(corpus, made)
        except EtymonError:
            continue
        if not differences(asked, built_parts(corpus, opened.documents, opened.overlaps)):
            return opened
    if last is None:
        raise EtymonError(
            f"The corpus of {recipe.name} is not built in {store.root}.", f"Build it: `etymon corpus build {path}`."
        )
    opened = _opened(last, made)
    return replace(opened, changed=differences(asked, built_parts(last, opened.documents, opened.overlaps)))


def rows_at(file: parquet.ParquetFile, positions: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a table by their numbers, in the order asked for. Only the row groups that hold them are read."""
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    begins = np.cumsum([0, *sizes])
    wanted = np.unique(np.asarray(positions, np.int64))
    found: dict[int, dict[str, Any]] = {}
    group_of = np.searchsorted(begins, wanted, "right") - 1
    for group in np.unique(group_of).tolist():
        mine = wanted[group_of == group]
        table = file.read_row_group(group, list(columns)).take(pa.array(mine - begins[group]))
        found |= zip(mine.tolist(), table.to_pylist(), strict=True)
    return [found[position] for position in positions]


def drawn(file: parquet.ParquetFile, able_N: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """At most ``count`` positions out of a table's, scattered over it, that few enough row groups hold to be read quickly."""
    begins = np.cumsum([0, *(file.metadata.row_group(number).num_rows for number in range(file.num_row_groups))])
    order = np.flatnonzero(able_N)
    order = order[np.argsort(scattered(len(able_N))[order])]
    group_of = np.searchsorted(begins, order, "right") - 1
    _, first = np.unique(group_of, return_index=True)
    read = group_of[np.sort(first)[:_GROUPS]]
    return np.sort(order[np.isin(group_of, read)][:count])


def _opened(corpus: Artifact, made: Mapping[str, Artifact]) -> OpenCorpus:
    if corpus.manifest.stage_version != corpus_stage.version:
        raise EtymonError(f"{corpus.name} was built by another version of Etymon, which kept other facts.", "Build it again.")
    parts: dict[str, Artifact] = {}
    for role in ("documents", "signals", "overlaps"):
        record = corpus.manifest.inputs.get(role)
        if record is None:
            continue
        part = made.get(record.label)
        if part is None or part.digest != record.digest:
            raise EtymonError(f"The {role} that {corpus.name} was made from ({record.label}) are gone.", "Build it again.")
        parts[role] = part
    return OpenCorpus(corpus, parts["documents"], parts["signals"], parts.get("overlaps"))
