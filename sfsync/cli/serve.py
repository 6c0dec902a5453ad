"""``sfsync serve``: health, readiness, status and metrics over HTTP, for machines that watch.

May not know how a figure is made. It keeps one law: it only looks, and costs no API call.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import click

from sfsync.cli.output import talk
from sfsync.cli.rooms import Mistyped, Opened, runtime

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"

Answer = tuple[int, str, bytes]


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=9464, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; there is no login.")
def serve(port: int, host: str) -> None:
    """Serve /healthz, /readyz, /status.json and /metrics until interrupted."""
    from sfsync.logs import configure

    with runtime() as opened:
        configure(opened.runtime.settings.log_level)
        try:
            server = ThreadingHTTPServer((host, port), _face(answers(opened)))
        except OSError as taken:
            raise Mistyped(f"{host}:{port} cannot be used: {taken.strerror}") from None
        talk(f"serving on http://{host}:{server.server_port}; stop with Ctrl-C")
        with _stopped_by_signal(server):
            server.serve_forever()


def answers(opened: Opened) -> dict[str, Callable[[], Answer]]:
    """Return what is answered at each path; one question at a time reads the store."""
    from sfsync.cli.output import encode
    from sfsync.cli.status import overview
    from sfsync.watch import Watch, queue_depths

    settings = opened.runtime.settings
    watch = Watch(settings, opened.store, clock=opened.runtime.clock, queue=queue_depths(settings.broker.url))
    alone = threading.Lock()

    def health() -> Answer:
        return 200, TEXT, b"ok\n"

    def ready() -> Answer:
        wrong = watch.ready()
        return (503 if wrong else 200), JSON, json.dumps({"ready": not wrong, "problems": wrong}).encode()

    def status() -> Answer:
        with alone:
            return 200, JSON, encode(overview(opened)).encode()

    def metrics() -> Answer:
        with alone:
            return 200, METRICS, watch.page()

    return {"/healthz": health, "/readyz": ready, "/status.json": status, "/metrics": metrics}


def _face(known: dict[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Face(BaseHTTPRequestHandler):
        server_version = "sfsync"
        sys_version = ""
        timeout = 30

        def do_GET(self) -> None:
            code, kind, body = self._answer()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  the library finds it by this name

        def _answer(self) -> Answer:
            ask = known.get(self.path.partition("?")[0])
            if ask is None:
                return 404, TEXT, f"there are: {' '.join(known)}\n".encode()
            try:
                return ask()
            except Exception as bad:  # whoever watches must see that it fails, and a thread must not die of it
                return 500, TEXT, f"{type(bad).__name__}\n".encode()

        def log_message(self, format: str, *args: object) -> None:
            """Keep scrapes out of the log."""

    return Face


@contextmanager
def _stopped_by_signal(server: ThreadingHTTPServer) -> Iterator[None]:
    import signal

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()  # it waits for the loop that this interrupts

    before = {name: signal.signal(name, stop) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        server.server_close()
        for name, was in before.items():
            signal.signal(name, was)
