"""The Celery application, the one base class of all tasks, and one runtime a worker process.

This module may not know what a task does. It keeps one law: an error leaves the store saying what is
due, so a task that fails is simply not repeated here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import Celery, Task, signals

from sfsync import logs
from sfsync.errors import Next, SfsyncError
from sfsync.settings import load

if TYPE_CHECKING:
    from sfsync.runtime import Runtime

log = logs.logger("tasks")

app = Celery("sfsync")
app.config_from_object("celeryconfig")

_runtime: Runtime | None = None


def runtime() -> Runtime:
    """Return this process's runtime, opened at the first use so that no connection crosses a fork."""
    global _runtime  # noqa: PLW0603  one per worker process by design
    if _runtime is None:
        from sfsync.runtime import Runtime

        _runtime = Runtime.open()
    return _runtime


class Nudge(Task):  # type: ignore[misc]  # celery has no types
    """A task that may be lost, doubled or late without harm."""

    def on_failure(
        self,
        exc: BaseException,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        einfo: Any,
    ) -> None:
        """Log the failure by its class; what is due stays due in the store."""
        nature = exc.next.value if isinstance(exc, SfsyncError) else Next.STOP.value
        org = args[0] if args else ""
        log.error("task failed", task=self.name, task_id=task_id, org=org, next=nature, error=type(exc).__name__)


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _log(**_: Any) -> None:
    """Write what Celery says the way we write, in workers and beat alike."""
    logs.configure(load().log_level)


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _fill(**_: Any) -> None:
    """Read the program before the processes are forked, which share it; a beat does without and starts at once."""
    import sfsync.runtime  # noqa: F401


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _close(**_: Any) -> None:
    global _runtime  # noqa: PLW0603
    if _runtime is not None:
        _runtime.close()
        _runtime = None


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _catch_up(**_: Any) -> None:
    """Ask at once what is due: a worker that was down has something to catch up with."""
    app.send_task("sfsync.tick")
