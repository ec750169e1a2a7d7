"""Talking to a model: in the terminal (``answer``, ``chat``), and as a service (``engine``, ``gateway``)."""
