"""What trainers built on Transformers' Trainer tell of every optimizer step. Run in the peer's environment."""

import time
from typing import Any

from transformers import TrainerCallback


class Times(TrainerCallback):
    """Seconds of every step, and what was logged after it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.logs: list[dict[str, Any]] = []

    def on_train_begin(self, *args, train_dataloader=None, **kwargs):
        self.dataset = train_dataloader.dataset

    @property
    def losses(self) -> list[float]:
        return [logs["loss"] for logs in self.logs]

    def on_step_begin(self, *args, **kwargs):
        self.begun = time.monotonic()

    def on_step_end(self, *args, **kwargs):
        self.seconds.append(time.monotonic() - self.begun)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in (logs or {}):
            self.logs.append(logs)
