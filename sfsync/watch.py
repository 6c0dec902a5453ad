"""What watching sees: metrics, readiness and health, all read from store and broker when somebody asks.

May not know how the answers are served. It keeps one law: nothing is counted in a worker's memory, so a restart loses
no figure; and no label holds a record's text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sfsync.clock import Clock, SystemClock
from sfsync.errors import SfsyncError
from sfsync.roster import RUNS
from sfsync.settings import Settings
from sfsync.store.fleet import ClientFigures, Fleet, OrgFigures
from sfsync.store.store import OrgRow, Store

QUEUES = ("sfsync.urgent", "sfsync")
PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
"""How the Redis transport names the lists of one queue."""
SILENT_SECONDS = 180
"""The beat asks every 30 seconds; after so long without one it is taken for gone."""

METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sfsync_store_up": ("1 if the store answers", ()),
    "sfsync_broker_up": ("1 if the broker answers", ()),
    "sfsync_beat_heartbeat_age_seconds": ("Time since a worker last took the beat", ()),
    "sfsync_queue_depth": ("Nudges that wait", ("queue",)),
    "sfsync_orgs_due": ("Orgs that owe a run", ()),
    "sfsync_due_age_seconds": ("How long the org that waits longest has been due", ()),
    "sfsync_org_paused": ("1 while an org is paused", ("org",)),
    "sfsync_org_busy": ("1 while a run holds an org", ("org",)),
    "sfsync_last_success_timestamp": ("When an org's last run ended well", ("org",)),
    "sfsync_sync_seconds": ("How long an org's last good run took", ("org",)),
    "sfsync_failed_runs": ("Runs that failed since one ended well", ("org",)),
    "sfsync_records_total": ("Records by what became of them", ("org", "direction", "result")),
    "sfsync_quarantined": ("Records in quarantine by the org's error code", ("org", "code")),
    "sfsync_api_calls_today": ("Our API calls of the day (UTC)", ("org",)),
    "sfsync_api_waits": ("1 while in-between polls wait so that the org's API calls last", ("org",)),
    "sfsync_api_used": ("Everybody's API calls of the day, as the org last said", ("org",)),
    "sfsync_api_limit": ("API calls of a day the org allows, as it last said", ("org",)),
    "sfsync_pack_hours_free": ("Hours left in all packs and not reserved", ("client",)),
    "sfsync_sla_open": ("Open cases", ("client", "priority", "status")),
    "sfsync_sla_breached": ("Open cases with a recorded breach", ("client", "priority")),
    "sfsync_audit_timestamp": ("When org and store were last compared", ("org",)),
    "sfsync_audit_differences": ("Records that differed when org and store were last compared", ("org",)),
    "sfsync_calendar_differs": ("Published holidays that differ from the newest list", ("client",)),
    "sfsync_certificate_expiry_days": ("Days until the login's certificate ends", ("org",)),
}
"""Every metric there is: name, what it says, labels. Alert rules and the dashboard may name these and no others."""

RECORDS: dict[str, tuple[str, str]] = {
    "read": ("in", "read"),
    "absorbed": ("in", "absorbed"),
    "conflicts": ("in", "conflict"),
    "wrote": ("out", "wrote"),
    "refused": ("out", "refused"),
    "later": ("out", "later"),
}


class Watch(Collector):
    """Collects the metrics at scrape time; give it to a registry, or ask it for ``page``."""

    def __init__(
        self, settings: Settings, store: Store, *, clock: Clock | None = None, queue: Callable[[], Mapping[str, int]]
    ) -> None:
        """``queue`` returns how many nudges wait in each queue, and raises OSError if the broker does not answer."""
        self._settings = settings
        self._store = store
        self._fleet = Fleet(store)
        self._clock = clock or SystemClock()
        self._queue = queue

    def page(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering reads nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield every metric; those of the store are left out while it does not answer."""
        seen = _Seen()
        self._broker(seen)
        self._certificates(seen)
        try:
            self._from_store(seen)
            seen.put("sfsync_store_up", 1)
        except SfsyncError:
            seen = seen.without_store()
            seen.put("sfsync_store_up", 0)
        yield from seen.families()

    def ready(self) -> list[str]:
        """Return why nothing can be done, one sentence each; empty when workers are at work."""
        wrong = []
        try:
            wrong += self._store.check()
            beat = self._fleet.heartbeat()
            if beat is None:
                wrong.append("no worker has ever taken a beat: start sfsync worker and sfsync beat")
            elif (age := (self._clock.now() - beat).total_seconds()) > SILENT_SECONDS:
                wrong.append(f"no worker has taken a beat for {age:.0f} s: look at sfsync worker and sfsync beat")
        except SfsyncError as bad:
            wrong.append(f"store: {bad}")
        try:
            self._queue()
        except OSError:
            wrong.append("the broker does not answer")
        return wrong

    # --- inside ---------------------------------------------------------------------------------

    def _broker(self, seen: _Seen) -> None:
        try:
            for queue, depth in self._queue().items():
                seen.put("sfsync_queue_depth", depth, queue)
            seen.put("sfsync_broker_up", 1)
        except OSError:
            seen.put("sfsync_broker_up", 0)

    def _certificates(self, seen: _Seen) -> None:
        from cryptography import x509

        now = self._clock.now()
        for org, settings in self._settings.orgs.items():
            file = settings.private_key_file.with_suffix(".crt") if settings.private_key_file else None
            try:
                if file is not None and file.is_file():
                    until = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
                    seen.put("sfsync_certificate_expiry_days", round((until - now).total_seconds() / 86_400, 2), org)
            except (OSError, ValueError):
                seen.put("sfsync_certificate_expiry_days", 0, org)

    def _from_store(self, seen: _Seen) -> None:
        now = self._clock.now()
        rows = [row for row in self._store.orgs() if row.org in self._settings.orgs]
        beat = self._fleet.heartbeat()
        if beat is not None:
            seen.put("sfsync_beat_heartbeat_age_seconds", max(0.0, (now - beat).total_seconds()))
        # Those that wait for API calls are counted apart.
        may = {r.org for r in rows if r.state != "paused" and (r.waits_until is None or r.waits_until <= now)}
        owing: dict[str, datetime] = {}
        for name, at in self._fleet.due(RUNS, now).items():
            owing.setdefault(name.partition(":")[2], at)
        waiting = [at for org, at in owing.items() if org in may]
        seen.put("sfsync_orgs_due", len(waiting))
        seen.put("sfsync_due_age_seconds", (now - min(waiting)).total_seconds() if waiting else 0)
        orgs, clients = self._fleet.figures((row.client for row in rows), now.replace(hour=0, minute=0, second=0))
        for row in rows:
            _tell_runs(seen, row)
            seen.put("sfsync_api_waits", row.waits_until is not None and row.waits_until > now, row.org)
            _tell_org(seen, row.org, orgs.get((row.client, row.org)) or OrgFigures())
        for client, figures in clients.items():
            _tell_client(seen, client, figures)


def _tell_runs(seen: _Seen, row: OrgRow) -> None:
    seen.put("sfsync_org_paused", row.state == "paused", row.org)
    seen.put("sfsync_org_busy", row.holder is not None, row.org)
    if row.last_success_at is not None:
        seen.put("sfsync_last_success_timestamp", row.last_success_at.timestamp(), row.org)
    if row.last_ms is not None:
        seen.put("sfsync_sync_seconds", row.last_ms / 1000, row.org)
    seen.put("sfsync_failed_runs", row.failed_runs, row.org)
    for name, (direction, result) in RECORDS.items():
        seen.put("sfsync_records_total", row.counted.get(name, 0), row.org, direction, result)


def _tell_org(seen: _Seen, org: str, figures: OrgFigures) -> None:
    for code, count in figures.quarantined.items():
        seen.put("sfsync_quarantined", count, org, code)
    if not figures.quarantined:
        seen.put("sfsync_quarantined", 0, org, "")
    seen.put("sfsync_api_calls_today", figures.calls, org)
    if figures.used is not None:
        seen.put("sfsync_api_used", figures.used, org)
    if figures.allowed is not None:
        seen.put("sfsync_api_limit", figures.allowed, org)
    if figures.audited_at is not None:
        seen.put("sfsync_audit_timestamp", figures.audited_at.timestamp(), org)
        seen.put("sfsync_audit_differences", figures.differences, org)


def _tell_client(seen: _Seen, client: str, figures: ClientFigures) -> None:
    seen.put("sfsync_pack_hours_free", figures.free_minutes / 60, client)
    for (priority, status), count in figures.open_cases.items():
        seen.put("sfsync_sla_open", count, client, priority, status)
    for priority, late in figures.breached.items():
        seen.put("sfsync_sla_breached", late, client, priority)
    if figures.calendar_differs is not None:
        seen.put("sfsync_calendar_differs", figures.calendar_differs, client)


class _Seen:
    """Values as they are found, by metric."""

    def __init__(self) -> None:
        self._values: dict[str, list[tuple[tuple[str, ...], float]]] = {}

    def put(self, metric: str, value: float, *labels: str) -> None:
        assert len(labels) == len(METRICS[metric][1]), metric
        self._values.setdefault(metric, []).append((labels, float(value)))

    def without_store(self) -> _Seen:
        """Return what does not come from the store: half of a figure would be a wrong one."""
        kept = _Seen()
        mine = ("sfsync_broker_up", "sfsync_queue_depth", "sfsync_certificate_expiry_days")
        kept._values = {name: values for name, values in self._values.items() if name in mine}
        return kept

    def families(self) -> Iterable[Metric]:
        for name, (says, labels) in METRICS.items():
            if name not in self._values:
                continue
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(name, says, labels=labels)
            for values, figure in self._values[name]:
                family.add_metric(values, figure)
            yield family


def queue_depths(url: str) -> Callable[[], Mapping[str, int]]:
    """Return a question to the broker: how many nudges wait in each queue. It raises OSError if none answers."""
    import redis

    broker = redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3)

    def ask() -> Mapping[str, int]:
        try:
            pipe = broker.pipeline(transaction=False)
            for queue in QUEUES:
                for priority in PRIORITIES:
                    pipe.llen(queue + priority)
            lengths = pipe.execute()
        except redis.RedisError as bad:
            raise ConnectionError(f"the broker does not answer: {type(bad).__name__}") from None
        step = len(PRIORITIES)
        return {queue: sum(lengths[n * step : (n + 1) * step]) for n, queue in enumerate(QUEUES)}

    return ask
