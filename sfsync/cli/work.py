"""``sfsync worker`` and ``sfsync beat``: this process becomes Celery.

May not know what the tasks do. It keeps one law: settings that are wrong are said before anything is started.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from sfsync.cli.rooms import config_file, settings
from sfsync.settings import PREFIX

QUEUES = "sfsync.urgent,sfsync"
"""What has come due before nightly work: the worker empties them in this order."""


@click.command()
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="How many orgs at a time.")
@click.option("--queues", default=QUEUES, show_default=True, help="Queues to serve, the most urgent first.")
@click.option("--name", help="Name of this worker; must differ from every other one's.")
def worker(processes: int, queues: str, name: str | None) -> None:
    """Run a worker until it is stopped; stop it with SIGTERM and it finishes what it is doing."""
    named = ["--hostname", f"{name}@%h"] if name else []
    become_celery(
        "worker", "--queues", queues, "--concurrency", str(processes), "--without-gossip", "--without-mingle", *named
    )


@click.command()
def beat() -> None:
    """Run the heartbeat; a second one does no harm, and without one nothing is lost but time."""
    become_celery("beat")


def become_celery(*arguments: str) -> NoReturn:
    """Replace this process by Celery with the settings in force; SettingsError if they are wrong."""
    found = settings()
    found.data_dir.mkdir(parents=True, exist_ok=True)  # the beat keeps its clock there
    file = config_file()
    if file is not None:  # the new program reads settings itself and must find the same file
        os.putenv(PREFIX + "CONFIG", str(file.resolve()))
    sys.stdout.flush()
    os.execv(
        sys.executable,
        [sys.executable, "-m", "celery", "--app", "tasks.app", *arguments, "--loglevel", found.log_level.lower()],
    )
