"""Lineage: whether one model derives from another, decided from the weights, and what changed.

The way of a comparison, a package a step: ``read`` (what each tensor is, from its shape and content) → ``align`` (the
residual streams, roles, heads, layers; ``canonicalise`` takes out what can be rewritten without a change of the function) →
``test`` (neurons and attention, against decoys) → ``attribute`` (what changed, how, and which came first) → ``verdict``.
``compare`` walks it, ``stage`` keeps the result as an artifact, ``explain`` says it in words, ``merged`` looks at several
parents at once, and ``index`` finds parents nobody named.
"""
