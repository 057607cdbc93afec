"""Runs that somebody else's script makes: a command line with `{width}`, `{lr}` and `{seed}` in it. Free of torch."""

from __future__ import annotations

import math
import shlex
import string
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from muaudit.errors import UserError
from muaudit.isolation.child import alive
from muaudit.reading import RESULTS, read_bytes
from muaudit.suggest import nearest
from muaudit.sweep.budget import Clock
from muaudit.sweep.out_of_time import OutOfTime
from muaudit.sweep.reported_loss import of_file, of_output
from muaudit.sweep.trainings import Training, TrainingOutcome, Unit

NEEDED = ("width", "lr")
POLL_SECONDS = 0.05
GRACE_SECONDS = 5.0
TOLD = 2000
"""So many of the last characters that a failed script printed are shown."""


@dataclass(frozen=True)
class Script:
    """A command, and where its loss is. loss_file: a path with placeholders, None for the last line printed.
    schedules: variant → what {schedule} is for its runs."""

    command: str
    loss_file: str | None = None
    loss_name: str | None = None
    schedules: tuple[tuple[str, str], ...] = ()

    def check(self, hps: Iterable[str], seeds: int, searched: bool = False) -> None:
        """Raise UserError for placeholders that are not known, or are needed and missing.

        searched: whether each run has a value of every hyperparameter, and {steps} may say how many updates it takes.
        """
        known = [*NEEDED, "seed", *hps, *(["steps"] if searched else [])]
        there = placeholders(self.command, "--command")
        for name in (*there, *placeholders(self.loss_file or "", "--loss-file")):
            if name not in known:
                raise UserError(f"--command: unknown placeholder {{{name}}}", nearest(name, known, "placeholders"))
        needed = [*NEEDED, *(["seed"] if seeds > 1 else []), *hps]
        if bare := [name for name in hps if name in there and not there[name] and not searched]:
            raise UserError(f"--command: {{{bare[0]}}} needs a value for the runs that do not vary it",
                            f"for example {{{bare[0]}:0.1}}")  # fmt: skip
        if missing := [name for name in needed if name not in there]:
            example = "python train.py --width {width} --lr {lr} --seed {seed}"
            raise UserError(f"--command has no {{{missing[0]}}}", f"for example --command {shlex.quote(example)}")
        try:
            shlex.split(self.command)
        except ValueError as error:
            raise UserError(f"--command {self.command!r}: {error}") from None

    def of_steps(self, steps: int) -> Script:
        """The same for runs of so many updates."""
        filled = (
            None if text is None else text.replace("{steps}", str(steps)) for text in (self.command, self.loss_file)
        )
        command, loss_file = filled
        return replace(self, command=command or "", loss_file=loss_file)

    def words(self, job: Training) -> list[str]:
        """What is executed for one run; values never change how the words are cut."""
        return [self._filled(word, job) for word in shlex.split(self.command)]

    def outcome(
        self, job: Training, tick: Any = lambda: None, begin: Callable[[], None] | None = None
    ) -> TrainingOutcome:
        """Run it, and read its loss. begin: called in the script's process before it is the script.

        Raises:
            UserError: the script fails.
            OutOfTime: time is up.
        """
        words = self.words(job)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            status = _run(words, out, err, tick, begin)
            printed, complaints = _text(out), _text(err)
        if status and self.loss_file is None and _diverged(printed, self.loss_name):
            return TrainingOutcome(job, None, None, 0)  # a script that gives up on a NaN says so in its last line
        if status:
            shown = (complaints.strip() or printed.strip())[-TOLD:]
            raise UserError(f"{shlex.join(words)} ended with exit code {status}:\n{shown}", "finished runs are kept")
        try:
            if self.loss_file is None:
                loss = of_output(printed, self.loss_name)
            else:
                path = self._filled(self.loss_file, job)
                raw = read_bytes(Path(path), "--loss-file says where the script writes its loss", RESULTS)
                loss = of_file(raw.decode("utf-8", "replace"), path, self.loss_name)
        except UserError as error:
            raise UserError(f"{shlex.join(words)}: {error.message}", error.hint) from None
        return TrainingOutcome(job, float(f"{loss:.9g}") if math.isfinite(loss) else None, None, 0)

    def _filled(self, word: str, job: Training) -> str:
        values = {
            "width": repr(job.width),
            "seed": repr(job.seed),
            "schedule": dict(self.schedules).get(job.variant, ""),
        }
        values |= {name: repr(value) for name, value in job.values}
        parts = string.Formatter().parse(word)
        return "".join(text + ("" if name is None else values.get(name, spec or "")) for text, name, spec, _ in parts)


@dataclass
class ScriptRuns:
    """Runs a script, one run after another."""

    script: Script
    clock: Clock
    tick: Any = lambda: None

    def together(self, variant: str, width: int) -> int:
        """Each run is a process of its own."""
        return 1

    def train(self, waiting: Sequence[Unit]) -> Iterator[tuple[Unit, list[TrainingOutcome]]]:
        """Each run with what it came to."""
        for unit in waiting:
            if not self.clock.allows(unit):
                raise OutOfTime
            started = time.monotonic()
            outcomes = [self.script.outcome(job, self.tick) for job in unit.jobs]
            self.clock.took(unit, time.monotonic() - started)
            yield unit, outcomes

    def rehearse(self, unit: Unit) -> float | None:
        """Somebody else's script knows no shorter run."""
        return None


def placeholders(template: str, flag: str) -> dict[str, str]:
    """The names in braces with what follows a colon there, the value of runs that do not vary it.

    Raises:
        UserError: the braces do not match.
    """
    try:
        return {name: spec or "" for _, name, spec, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise UserError(f"{flag} {template!r}: {error}", "braces that are meant as such are doubled") from None


def _run(
    words: Sequence[str], out: IO[bytes], err: IO[bytes], tick: Any, begin: Callable[[], None] | None = None
) -> int:
    """The exit code; whatever ends this ends the script."""
    try:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=begin)
    except OSError as error:
        raise UserError(f"--command: cannot run {words[0]}: {error.strerror or error}") from None
    try:
        while True:
            try:
                return process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                alive()
                tick()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _diverged(printed: str, name: str | None) -> bool:
    try:
        return not math.isfinite(of_output(printed, name))
    except UserError:
        return False
