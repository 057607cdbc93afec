"""A process for every target: the user's code can end, hang or change its own, and nothing else.

    muaudit (no torch)  ──forks──>  nursery (torch imported, runs none of the user's code)  ──forks──>  a child a target

The nursery costs what importing torch costs, a child a few milliseconds. A child leads a session of its own; with it
ends whatever it has started. The nursery ends with muaudit, however that ends, and takes everything with it. What comes
back is JSON: nothing that user code can write is unpickled or run here. Where there is no safe fork (macOS, Windows)
every target gets a fresh interpreter instead (`spawned.py`).

Importing this costs nothing: sockets and threads come with the first task.
"""

from muaudit.isolation.crew import begin, run_task, run_tasks
from muaudit.isolation.task import Done, InternalError, LostTarget, NotBegun, Outcome, Task, scope

__all__ = [
    "Done",
    "InternalError",
    "LostTarget",
    "NotBegun",
    "Outcome",
    "Task",
    "begin",
    "run_task",
    "run_tasks",
    "scope",
]
