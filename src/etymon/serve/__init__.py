"""Talking to a model: prompts from its own chat template, streamed answers, conversations."""
