"""One run of the main job: where it keeps its artifacts, and who is told of its progress."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from etymon.progress import Listener, silent
from etymon.recipe import Recipe
from etymon.store import Artifact, Input, Stage, Store
from etymon.store.stage import M, X


@dataclass(frozen=True)
class StageLine:
    """What became of one stage."""

    stage: str
    summary: str
    seconds: float = 0.0
    """What making it took, whenever that was."""
    reused: bool = True
    """It was there, or there is nothing to make."""
    caution: bool = False
    """Nothing was made: the user should know this before relying on what was."""


@dataclass
class Job:
    """A recipe with all it takes to run it."""

    recipe: Recipe
    folder: Path
    """The recipe's folder, which paths in it are relative to."""
    store: Store
    listener: Listener = silent
    on_line: Callable[[StageLine], None] = lambda line: None
    made: dict[str, Artifact] = field(default_factory=dict)
    """Every artifact of the run, by what it is to the run."""

    @property
    def foundation_source(self) -> str:
        """The recipe's foundation; a path is relative to the recipe."""
        beside = self.folder / self.recipe.foundation
        return str(beside) if beside.exists() else self.recipe.foundation

    def obtain(
        self,
        role: str,
        stage: Stage[M, X],
        inputs: Mapping[str, Input],
        meaning: M,
        execution: X,
        summary: Callable[[Artifact], str] | None = None,
        parts: Sequence[Artifact] = (),
    ) -> Artifact:
        """The stage's artifact, made or found, under its role in this run; told with its ``summary``, if it has one.

        ``parts`` were made for it before, without a line of their own: their seconds count.
        """
        artifact, reused = self.store.obtain(stage, inputs, meaning, execution, self.listener)
        self.made[role] = artifact
        self.store.point(self.recipe.name, {role: made.name for role, made in self.made.items()})
        if summary:
            seconds = sum(each.manifest.seconds for each in (*parts, artifact))
            self.on_line(StageLine(role, summary(artifact), seconds, reused))
        return artifact
