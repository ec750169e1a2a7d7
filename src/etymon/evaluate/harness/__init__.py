"""The only place that imports lm-evaluation-harness: its task definitions and judging, with our scorer as the model."""
