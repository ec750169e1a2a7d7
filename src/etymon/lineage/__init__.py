"""Lineage: whether one model derives from another, decided from the weights, and what changed.

The way of a comparison: ``read`` (what each tensor is, from its shape) → ``profile`` and ``roles`` (tensors of one shape
told apart by their content) → ``align`` (the residual streams) → ``match`` (neurons) → ``decoys`` (the null) →
``change`` and ``direction`` (attribution) → ``verdict``. ``compare`` walks it, ``stage`` keeps the result as an artifact.
"""
