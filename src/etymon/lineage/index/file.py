"""A fingerprint as one safetensors file, read as the hostile input that it may be."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors.numpy import save

from etymon.foundation.safetensors_file import read_safetensors_header
from etymon.foundation.stored_tensor import refuse
from etymon.lineage.index.fingerprint import About, Fingerprint
from etymon.lineage.index.responses import SAMPLED_LAYERS, SAMPLED_NEURONS, Responses
from etymon.lineage.index.searched import LAYER_PAIRS, TOKEN_PAIRS, Searched
from etymon.lineage.index.tokens import SEARCHED, TOKENS

LARGEST = 1 << 20
"""Bytes of a fingerprint."""
_LONGEST_ABOUT = 8_000


def fingerprint_bytes(fingerprint: Fingerprint) -> bytes:
    """The same fingerprint always gives the same bytes."""
    about = fingerprint.about.model_dump_json().encode()
    searched, responses = fingerprint.searched, fingerprint.responses
    content: bytes = save(
        {
            "about": np.frombuffer(about, np.uint8),
            "searched.has_token": searched.has_token.astype(np.uint8),
            "searched.tokens": searched.tokens,
            "searched.layers": searched.layers,
            "responses.has_token": responses.has_token.astype(np.uint8),
            "responses.layers": np.array(responses.layers, np.int32),
            "responses.gate": responses.gate,
            "responses.up": responses.up,
        }
    )
    return content


def read_fingerprint(path: Path) -> Fingerprint:
    """Raises EtymonError for a file that is too large or not a fingerprint."""
    if path.stat().st_size > LARGEST:
        refuse(path, f"it has more than {LARGEST} bytes, which no fingerprint has")
    arrays = _arrays(path)
    wanted = {
        "about": "U8", "searched.has_token": "U8", "searched.tokens": "I8", "searched.layers": "I8",
        "responses.has_token": "U8", "responses.layers": "I32", "responses.gate": "I8", "responses.up": "I8",
    }  # fmt: skip
    if {name: dtype for name, (dtype, _) in arrays.items()} != wanted:
        refuse(path, "it is not a fingerprint of this format")
    values = {name: array for name, (_, array) in arrays.items()}
    layers, (sampled, neurons) = values["responses.layers"], values["responses.gate"].shape[:2] or (0, 0)
    shapes = {
        "searched.has_token": (SEARCHED,), "searched.tokens": (TOKEN_PAIRS,), "searched.layers": (LAYER_PAIRS,),
        "responses.has_token": (len(TOKENS),), "responses.layers": (sampled,),
        "responses.gate": (sampled, neurons, len(TOKENS)), "responses.up": (sampled, neurons, len(TOKENS)),
    }  # fmt: skip
    for name, shape in shapes.items():
        if values[name].shape != shape:
            refuse(path, f"{name!r} has the shape {values[name].shape}, not {shape}")
    about = _about(path, values["about"])
    ordered = all(0 <= one < other for one, other in pairwise([*layers.tolist(), about.sizes.layers]))
    if sampled > SAMPLED_LAYERS or neurons > SAMPLED_NEURONS or (sampled and not neurons) or not ordered:
        refuse(path, "its sample of layers and neurons is impossible")
    return Fingerprint(
        about,
        Searched(values["searched.has_token"] != 0, values["searched.tokens"], values["searched.layers"]),
        Responses(
            values["responses.has_token"] != 0,
            tuple(layers.tolist()),
            values["responses.gate"],
            values["responses.up"],
        ),
    )


def _arrays(path: Path) -> dict[str, tuple[str, np.ndarray[Any, Any]]]:
    header = read_safetensors_header(path)
    content = path.read_bytes()
    kinds = {"U8": np.uint8, "I8": np.int8, "I32": np.int32}
    found = {}
    for tensor in header:
        if tensor.dtype not in kinds or len(content) < tensor.offset + tensor.nbytes:
            refuse(path, f"{tensor.name!r} is not a part of a fingerprint")
        values = np.frombuffer(content, kinds[tensor.dtype], tensor.scalars, tensor.offset)
        found[tensor.name] = tensor.dtype, values.reshape(tensor.shape)
    return found


def _about(path: Path, stored: np.ndarray[Any, Any]) -> About:
    if stored.size > _LONGEST_ABOUT:
        refuse(path, f"what it says of the model has more than {_LONGEST_ABOUT} bytes")
    try:
        return About.model_validate_json(stored.tobytes())
    except ValidationError as error:
        first = error.errors()[0]
        refuse(path, f"what it says of the model is not valid: {'.'.join(map(str, first['loc']))}: {first['msg']}")
