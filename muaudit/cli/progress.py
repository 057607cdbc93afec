"""A spinner on stderr, for people, and only when they have waited for two seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

PATIENCE_SECONDS = 2.0
SILENT_SECONDS = 8.0
"""How long at least is between two lines where nobody watches."""


@contextmanager
def progress(message: str) -> Iterator[_Spinner | None]:
    """Show a spinner once the block has run for longer than the patience lasts.

    Within the block, what is written to `sys.stderr` (the user's code prints while it is built) stands above it.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.file_proxy import FileProxy

    stream, console = sys.stderr, Console(stderr=True)
    above = FileProxy(console, stream)
    spinner = _Spinner(message, console)
    timer = Timer(PATIENCE_SECONDS, spinner.start)
    timer.daemon = True
    timer.start()
    sys.stderr = above
    try:
        yield spinner
    finally:
        above.flush()
        sys.stderr = stream
        timer.cancel()
        spinner.stop()


@contextmanager
def stages(message: str, total: int) -> Iterator[Callable[..., None]]:
    """A spinner that names what is worked on, of `total` things; a line on stderr now and then where nobody watches.

    What it yields is called with the name of each as it is begun, and with that and a part of it as the part is.
    """
    begun, last = 0, monotonic()

    def told(name: str, part: str = "") -> None:
        nonlocal begun, last
        begun += not part
        shown = f"{message}: {name}{':' if part else ''}{part} ({begun} of {total})"
        if spinner is not None:
            spinner.say(shown)
        elif monotonic() - last > SILENT_SECONDS:
            last = monotonic()
            print(shown, file=sys.stderr, flush=True)

    with progress(message) as spinner:
        yield told


@contextmanager
def bar(message: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar over `total` bytes; what it yields is told how many more are done."""
    if not total or not sys.stderr.isatty():
        yield lambda size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as shown:
        task = shown.add_task(message, total=total)
        yield lambda size: shown.advance(task, size)


class _Spinner:
    def __init__(self, message: str, console: Console) -> None:
        self._message, self._console = message, console
        self._lock = Lock()
        self._live: Live | None = None
        self._drawn: Spinner | None = None
        self._stopped = False

    def start(self) -> None:
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.text import Text

        with self._lock:
            if self._stopped:
                return
            self._drawn = Spinner("dots", Text(self._message))
            self._live = Live(
                self._drawn,
                console=self._console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def say(self, message: str) -> None:
        """Show another message from here on."""
        from rich.text import Text

        with self._lock:
            self._message = message
            if self._drawn is not None:
                self._drawn.update(text=Text(message))

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._live is not None:
                self._live.stop()
