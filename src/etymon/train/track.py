"""Sends a run's metrics to experiment trackers, each through its own client, besides the JSON lines that are always kept.

Clients are found before training starts: one that is not installed or cannot be opened stops the run there. One that fails
later is let go and named in ``problems``; training goes on.
"""

import importlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from etymon.errors import EtymonError

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]
PROJECT = "etymon"
"""Under which runs are filed where the client's own environment variable names no other project."""


class _Client(Protocol):
    """One open run of one tracker."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class Trackers:
    """The open trackers of one run."""

    def __init__(self, clients: Mapping[Tracker, _Client]) -> None:
        self._clients = dict(clients)
        self.problems: list[str] = []
        """One sentence for each tracker that failed since the run began."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._each(lambda client: client.log(step, metrics))

    def close(self) -> None:
        self._each(lambda client: client.close())
        self._clients.clear()

    def _each(self, act: Callable[[_Client], None]) -> None:
        for name, client in list(self._clients.items()):
            try:
                act(client)
            except Exception as error:  # whatever a client raises, hours of training are worth more than its curve
                del self._clients[name]
                self.problems.append(f"{name} failed and gets no more metrics: {_first_line(error)}")


def open_trackers(names: Sequence[Tracker], run_name: str, folder: Path, config: Mapping[str, Any]) -> Trackers:
    """Open a run named ``run_name`` in every tracker, with ``config`` as its settings.

    Local records go to ``folder``, trackio's to where ``trackio show`` looks for them. A client's own environment variables
    come first (``WANDB_MODE``, ``WANDB_PROJECT``, ``MLFLOW_TRACKING_URI``, ``TRACKIO_DIR`` …).
    Raises EtymonError for a client that is not installed or does not open.
    """
    clients: dict[Tracker, _Client] = {}
    for name in dict.fromkeys(names):
        try:
            clients[name] = _OPEN[name](run_name, folder, config)
        except ImportError as error:
            Trackers(clients).close()
            raise EtymonError(
                f"execution.track asks for {name}, but its client is not installed ({_first_line(error)}).",
                f"pip install {_PACKAGES[name]}",
            ) from None
        except Exception as error:  # a client raises what it likes, and the user can mend it or leave it out
            Trackers(clients).close()
            raise EtymonError(
                f"execution.track asks for {name}, but its client does not open: {_first_line(error)}",
                f"Set the client up, or take {name} out of execution.track.",
            ) from error
    return Trackers(clients)


class _TensorBoard:
    def __init__(self, run_name: str, folder: Path, config: Mapping[str, Any]) -> None:
        tensorboard = importlib.import_module("torch.utils.tensorboard")
        self._writer = tensorboard.SummaryWriter(str(folder / "tensorboard" / run_name))
        self._writer.add_text("config", "\n".join(f"    {line}" for line in json.dumps(config, indent=2).splitlines()))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    def __init__(self, run_name: str, folder: Path, config: Mapping[str, Any]) -> None:
        wandb = importlib.import_module("wandb")
        folder.mkdir(parents=True, exist_ok=True)
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        self._run = wandb.init(project=project, name=run_name, dir=str(folder), config=dict(config))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    def __init__(self, run_name: str, folder: Path, config: Mapping[str, Any]) -> None:
        mlflow = importlib.import_module("mlflow")
        self._metric = mlflow.entities.Metric
        folder.mkdir(parents=True, exist_ok=True)
        place = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{folder.resolve() / 'mlflow.db'}")
        self._client = mlflow.MlflowClient(place)
        project = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(project)
        experiment = known.experiment_id if known else self._client.create_experiment(project)
        self._run: str = self._client.create_run(experiment, run_name=run_name).info.run_id
        for key, value in _flat(config).items():
            self._client.log_param(self._run, key, value)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[self._metric(k, v, now, step) for k, v in metrics.items()])

    def close(self) -> None:
        self._client.set_terminated(self._run)


class _Trackio:
    def __init__(self, run_name: str, folder: Path, config: Mapping[str, Any]) -> None:
        trackio = importlib.import_module("trackio")
        self._run = trackio.init(project=PROJECT, name=run_name, config=dict(config))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


_OPEN: dict[Tracker, Callable[[str, Path, Mapping[str, Any]], _Client]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WeightsAndBiases,
    "mlflow": _MLflow,
    "trackio": _Trackio,
}
_PACKAGES: dict[Tracker, str] = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow-skinny sqlalchemy alembic",
    "trackio": "trackio",
}


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Sections within sections as ``section.key``."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {before + key: value}
    return flat


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
