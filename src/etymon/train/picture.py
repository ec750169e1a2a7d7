"""The loss curve as a picture."""

from pathlib import Path

from etymon.train.loop import StepMetrics


def draw_losses(metrics: list[StepMetrics], path: Path) -> bool:
    """Write an SVG of loss over tokens; False where matplotlib (``pip install 'etymon[plot]'``) is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([m.tokens for m in metrics], [m.loss for m in metrics], color="#2b6cb0", linewidth=1.6)
    axes.set_xlabel("tokens seen")
    axes.set_ylabel("loss (nats per token)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    figure.savefig(path, format="svg")
    return True
