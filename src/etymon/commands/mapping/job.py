"""``etymon map``: from a table, a prompt and a schema to the table with the answers as columns.

What is asked is checked before any work; answers go to the journal as they come; the output is written at the end.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from etymon.commands.mapping.answers import Schema, UnfitAnswer, read_schema
from etymon.commands.mapping.ask import Asker, Unavailable
from etymon.commands.mapping.journal import Failure, Journal
from etymon.commands.mapping.output import write_failed, write_output
from etymon.commands.mapping.prompt import MissingColumn, Prompt, read_prompt
from etymon.commands.mapping.table import TYPES, Table, default_output, read_table, rows_of, table_type
from etymon.errors import EtymonError
from etymon.progress import Clock, Listener
from etymon.serve.gateway.models import Find, Models, Served
from etymon.serve.gateway.problems import Problem
from etymon.serve.gateway.relay import Relay
from etymon.serve.gateway.settings import Limits, ModelEntry, Service

_TELL_SECONDS = 2.0
"""How often progress is told while no answer comes: on a machine with other work the first may take a minute."""


@dataclass(frozen=True)
class TableJob:
    """What is to be done."""

    input: Path
    prompt: str
    """The text, or ``@`` and the file that holds it."""
    schema: Path
    entry: ModelEntry
    """Which model, here or at a service."""
    output: Path | None = None
    tokens: int = 512
    """Of an answer at most."""


@dataclass(frozen=True)
class Mapped:
    """What became of it."""

    output: Path
    failed: Path
    """The list of rows without an answer; there only if there are any."""
    rows: int
    before: int
    """Answered by an earlier run already."""
    reasons: dict[str, int]
    """How many rows failed, by reason."""


@dataclass(frozen=True)
class _Checked:
    """A job whose every part is in order."""

    table: Table
    prompt: Prompt
    schema: Schema
    output: Path

    def beside(self, suffix: str) -> Path:
        return self.output.with_name(self.output.name + suffix)


def map_rows(job: TableJob, find: Find, listener: Listener, say: Callable[[str], None]) -> Mapped:
    """Ask the model about every row that has no answer yet, and write the table of those that have one.

    ``say`` is told what else the user should know. Raises EtymonError for bad input, before any work; and where the engine
    is gone for good: what was answered is kept.
    """
    checked = _checked(job)
    identity = find(job.entry).digest if job.entry.engine is None else f"{job.entry.engine} {job.entry.model or ''}"
    journal = Journal(checked.beside(".journal"))
    try:
        what = {"prompt": checked.prompt.source, "schema": checked.schema.text, "model": identity}
        changed, forgotten = journal.begin(what)
        if forgotten:
            say(f"Another {' and '.join(changed)} than before: {forgotten:,} answers are not used, all rows are asked anew.")
        before = sum(
            isinstance(asked, str) and journal.has(row, asked) for row, asked in _asked(checked.table, checked.prompt)
        )
        clock = Clock(listener, "map", "asking", total=checked.table.rows, unit="rows", done_before=before)
        asyncio.run(_Run(checked, journal, clock, before).ask(job, find))
        checked.table.check_unchanged()
        failed = checked.output.with_name(f"{checked.output.name}.failed.jsonl")
        write_failed(failed, journal.failed())
        write_output(checked.output, checked.table, checked.schema, journal)
        return Mapped(checked.output, failed, checked.table.rows, before, journal.reasons())
    finally:
        journal.close()


def _checked(job: TableJob) -> _Checked:
    """Raises EtymonError for whatever would go wrong."""
    prompt, schema = read_prompt(job.prompt), read_schema(job.schema)
    table_type(job.input)
    output = job.output or default_output(job.input)
    if output.suffix.lower() not in TYPES:
        raise EtymonError(f"{output} is of no type that is written here.", f"Let it end in {', '.join(TYPES)}.")
    if not output.parent.is_dir():
        raise EtymonError(f"There is no folder {output.parent}.", "Make it first, or give another --output.")
    table = read_table(job.input, for_parquet=output.suffix.lower() == ".parquet")
    checked = _Checked(table, prompt, schema, output)
    if output.exists() and not checked.beside(".journal").exists():
        raise EtymonError(f"{output} is there already, and was not written by this command.", "Give another --output.")
    prompt.check(table.columns)
    if twice := [name for name in schema.columns if name in table.columns]:
        raise EtymonError(f"The input has a column {twice[0]!r} already.", "Call the property of the schema otherwise.")
    return checked


def _asked(table: Table, prompt: Prompt) -> Iterator[tuple[int, str | Failure]]:
    """What is asked about each row, or why nothing is."""
    for number, row in rows_of(table.path):
        if isinstance(row, Failure):
            yield number, row
            continue
        try:
            yield number, prompt.of(row)
        except MissingColumn as missing:
            yield number, Failure(number, "missing-column", f"it has no {missing}")


class _Run:
    """The rows on their way."""

    def __init__(self, checked: _Checked, journal: Journal, clock: Clock, done: int) -> None:
        """``done``: rows that were answered before."""
        self._table, self._prompt, self._schema = checked.table, checked.prompt, checked.schema
        self._journal, self._clock = journal, clock
        self._done = done
        self._failed = 0

    async def ask(self, job: TableJob, find: Find) -> None:
        """About all rows that have no answer. An engine is started only if there are any."""
        questions = self._questions()
        first = next(questions, None)
        if first is None:
            return
        limits = Limits()
        models, relay = Models(find, lambda name, what: None), Relay(limits.seconds)
        telling = asyncio.create_task(self._keep_telling())
        try:
            await models.replace(Service(models=(job.entry,), limits=limits))
            asker = Asker(_only(models), relay, self._schema, job.tokens)
            await _check(asker)
            await self._about(first, asker)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(job.entry.parallel + 1):  # one more than it computes: the next is there when one has ended
                        group.create_task(self._work(questions, asker))
            except* EtymonError as errors:
                raise errors.exceptions[0] from None
        finally:
            telling.cancel()
            await relay.close()
            await models.stop()

    def _questions(self) -> Iterator[tuple[int, str]]:
        """Those that are not answered yet."""
        for number, asked in _asked(self._table, self._prompt):
            if isinstance(asked, Failure):
                self._fail(asked)
            elif not self._journal.has(number, asked):
                yield number, asked

    async def _work(self, questions: Iterator[tuple[int, str]], asker: Asker) -> None:
        for question in questions:
            await self._about(question, asker)

    async def _about(self, question: tuple[int, str], asker: Asker) -> None:
        number, asked = question
        answered = asker.answered
        try:
            answer = await asker.answer(asked)
        except UnfitAnswer as error:
            self._fail(Failure(number, error.reason, error.detail))
        except Unavailable as error:
            if asker.answered == answered:  # nor did any other row get an answer in that time
                raise EtymonError(
                    f"The engine does not answer any more: {error}", "What was answered is kept: run the same command again."
                ) from None
            self._fail(Failure(number, "unavailable", str(error)))
        else:
            self._journal.write(number, asked, answer)
            self._tick()

    def _fail(self, failure: Failure) -> None:
        self._failed += 1
        self._journal.fail(failure)
        self._tick()

    def _tick(self) -> None:
        self._done += 1
        self._tell()

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            self._tell()

    def _tell(self) -> None:
        self._clock(self._done, **({"failed": f"{self._failed:,}"} if self._failed else {}))


def _only(models: Models) -> Served:
    served = models.visible(None)
    if len(served) != 1:
        names = ", ".join(each.card.name for each in served)
        raise EtymonError("The service has several models.", f"Say which by --model: {names}.")
    return served[0]


async def _check(asker: Asker) -> None:
    """Raises EtymonError where no row could get an answer."""
    try:
        await asker.check()
    except Problem as problem:
        if problem.status < 429:
            raise EtymonError(
                f"The engine refuses the schema or the model: {problem.message}", "Simplify the schema."
            ) from None
