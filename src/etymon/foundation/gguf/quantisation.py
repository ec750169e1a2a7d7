"""The types a GGUF can be written in."""

from enum import StrEnum


class Quantisation(StrEnum):
    """How matrices are stored. The gguf package cannot write K-quants."""

    f32 = "f32"
    f16 = "f16"
    bf16 = "bf16"
    q8_0 = "q8_0"
    q5_1 = "q5_1"
    q4_1 = "q4_1"
    q4_0 = "q4_0"
