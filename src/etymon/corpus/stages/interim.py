"""Until the parts land."""

import numpy as np
import pyarrow as pa

from etymon.corpus.duplicates.near import near_duplicates
from etymon.corpus.duplicates.signatures import band_hashes_of
from etymon.corpus.signals.measure import Signals, _measured, fields
from etymon.corpus.signals.personal import mask_document
from etymon.corpus.signals.terms import terms_of
from etymon.text.normalise import folded, repair
from etymon.text.overlap import find_overlaps

__all__ = ["near_duplicates", "band_hashes_of", "ItemGrams", "copies_by_cluster_size", "measure_batch", "SIGNAL_TYPES"]
_PA = {int: pa.int64(), float: pa.float64(), str: pa.string()}
COUNTED = ("emails", "phones", "ips", "cards", "identity_numbers", "refused_terms")
SIGNAL_TYPES = {field.name: _PA[field.type] for field in fields(Signals)} | dict.fromkeys(COUNTED, pa.int64())


def measure_batch(texts, rows, kinds, terms):
    found = []
    for raw, row in zip(texts, rows, strict=True):
        text, row, counts = mask_document(repair(raw), row, kinds)
        one = _measured(text, row) | counts
        one["row"] = row
        one["refused_terms"] = terms_of(terms).find(folded(text)).total() if terms else 0
        found.append(one)
    return {name: [each[name] for each in found] for name in found[0]}


class ItemGrams:
    def __init__(self, texts):
        self.texts = texts

    def found_in(self, batch):
        out = []
        for i, o in enumerate(find_overlaps(self.texts, [(str(k), t) for k, t in enumerate(batch)])):
            if o.document is not None:
                out.append((int(o.document), i, o.shared, o.excerpt))
        return out


def copies_by_cluster_size(sizes):
    return np.ones_like(sizes)
