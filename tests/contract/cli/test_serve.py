"""What machines that watch are told: health, readiness, status, metrics."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from http.server import ThreadingHTTPServer

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from sfsync.cli.serve import _face, answers
from sfsync.mirror.compare import Certificate, Difference, Kind
from sfsync.watch import METRICS, Watch
from tests.contract.cli.conftest import PIN, Desk

__all__ = ["PIN"]


def depths() -> Mapping[str, int]:
    return {"sfsync.urgent": 0, "sfsync": 7}


def no_broker() -> Mapping[str, int]:
    raise ConnectionError("refused")


def figures(desk: Desk, queue: Callable[[], Mapping[str, int]] = depths) -> dict[tuple[str, ...], float]:
    watch = Watch(desk.opened.runtime.settings, desk.opened.store, clock=desk.opened.runtime.clock, queue=queue)
    found = {}
    for family in text_string_to_metric_families(watch.page().decode()):
        for sample in family.samples:
            labels = [sample.labels[name] for name in METRICS[sample.name][1]]
            found[(sample.name, *labels)] = sample.value
    return found


@pytest.fixture
def served(worked: Desk) -> Iterator[Callable[[str], tuple[int, str]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _face(answers(worked.opened)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    yield get
    server.shutdown()
    server.server_close()
    thread.join()


def test_metrics_are_what_the_store_says(worked: Desk) -> None:
    store, opened = worked.opened.store, worked.opened
    run = store.begin_run("acme", "acme", worked.now - timedelta(seconds=4))
    store.end_run("acme", run, worked.now, counts={"read": 5, "wrote": 2, "calls": 3})
    store.add_calls("acme", "acme", 3, worked.now, used=90, allowed=1000)
    seen = figures(worked)
    shown = opened.reads.figures("acme")
    assert seen["sfsync_store_up",] == seen["sfsync_broker_up",] == 1
    assert seen["sfsync_queue_depth", "sfsync"] == 7
    assert seen["sfsync_last_success_timestamp", "acme"] == worked.now.timestamp()
    assert seen["sfsync_sync_seconds", "acme"] == 4
    assert seen["sfsync_records_total", "acme", "in", "read"] == 5
    assert seen["sfsync_records_total", "acme", "out", "wrote"] == 2
    assert (seen["sfsync_api_calls_today", "acme"], seen["sfsync_api_used", "acme"]) == (3, 90)
    assert seen["sfsync_api_limit", "acme"] == 1000
    assert seen["sfsync_pack_hours_free", "acme"] == (shown.balance_minutes - shown.reserved_minutes) / 60
    assert sum(v for k, v in seen.items() if k[0] == "sfsync_sla_open") == shown.open_cases
    assert sum(v for k, v in seen.items() if k[0] == "sfsync_sla_breached") == shown.breached


def test_failures_pauses_and_what_is_due_are_seen(worked: Desk) -> None:
    store = worked.opened.store
    for _ in range(2):
        store.end_run("acme", store.begin_run("acme", "acme", worked.now), worked.now, error="no")
    store.write_tick("nightly:acme", worked.now - timedelta(hours=2))
    seen = figures(worked)
    assert seen["sfsync_failed_runs", "acme"] == 2
    assert seen["sfsync_orgs_due",] == 1
    assert 7200 <= seen["sfsync_due_age_seconds",] < 7300
    store.pause("acme", "acme", "by hand")
    seen = figures(worked)
    assert (seen["sfsync_org_paused", "acme"], seen["sfsync_orgs_due",]) == (1, 0)


def test_an_audit_and_a_look_at_the_calendar_are_seen(worked: Desk) -> None:
    runtime = worked.opened.runtime
    assert ("sfsync_audit_differences", "acme") not in figures(worked)
    difference = Difference("Case", "500", "ca:1", Kind.GONE, "", "", "")
    made = Certificate("acme", "acme", PIN, worked.now, {"Case": 7}, (difference,), 0, 2)
    runtime.store.keep_certificate(made)
    runtime.store.keep_calendar_check("acme", 3, worked.now)
    seen = figures(worked)
    assert seen["sfsync_audit_timestamp", "acme"] == made.at.timestamp()
    assert seen["sfsync_audit_differences", "acme"] == 1
    assert seen["sfsync_calendar_differs", "acme"] == 3


def test_a_scrape_asks_the_store_as_often_for_many_orgs_as_for_one(worked: Desk) -> None:
    runtime = worked.opened.runtime
    asked: list[str] = []
    engine = runtime.store._database.engine
    event.listen(engine, "before_cursor_execute", lambda _c, _r, statement, *_: asked.append(statement))
    figures(worked)
    once = len(asked)
    more = {}
    for n in range(20):
        runtime.store.add_org(f"more{n}", f"more{n}")
        more[f"more{n}"] = runtime.settings.orgs["acme"]
    many = runtime.settings.model_copy(update={"orgs": {**runtime.settings.orgs, **more}})
    asked.clear()
    page = Watch(many, runtime.store, clock=runtime.clock, queue=depths).page()
    assert b'sfsync_pack_hours_free{client="more7"} 0.0' in page
    assert len(asked) == once


def test_every_metric_that_is_shown_is_declared_and_holds_no_text_of_a_record(worked: Desk) -> None:
    seen = figures(worked)
    assert {name for name, *_ in seen} <= METRICS.keys()
    assert "Orders do not sync" not in str(seen)
    assert "Lucía" not in str(seen)


def test_a_broker_that_is_down_is_a_figure_and_no_error(worked: Desk) -> None:
    seen = figures(worked, no_broker)
    assert seen["sfsync_broker_up",] == 0
    assert seen["sfsync_store_up",] == 1


def test_a_store_that_is_down_is_a_figure_and_no_error(worked: Desk) -> None:
    from sfsync.store.store import Store

    nowhere = Store("postgresql://nobody@localhost:9/none", pool_size=0)
    watch = Watch(worked.opened.runtime.settings, nowhere, queue=depths)
    page = watch.page().decode()
    assert "sfsync_store_up 0.0" in page
    assert "sfsync_orgs_due" not in page
    assert any("store" in problem for problem in watch.ready())


def test_readiness_wants_a_schema_a_broker_and_a_fresh_beat(worked: Desk) -> None:
    runtime = worked.opened.runtime
    watch = Watch(runtime.settings, runtime.store, clock=runtime.clock, queue=depths)
    assert ["ever taken a beat" in problem for problem in watch.ready()] == [True]
    runtime.fleet.beat(worked.now - timedelta(minutes=10))
    assert ["has taken a beat for" in problem for problem in watch.ready()] == [True]
    runtime.roster.due()
    assert watch.ready() == []
    deaf = Watch(runtime.settings, runtime.store, clock=runtime.clock, queue=no_broker)
    assert deaf.ready() == ["the broker does not answer"]


def test_each_path_answers_over_http(served: Callable[[str], tuple[int, str]], worked: Desk) -> None:
    assert served("/healthz") == (200, "ok\n")
    code, body = served("/readyz")
    assert (code, json.loads(body)["ready"]) == (503, False)
    code, body = served("/status.json")
    told, typed = json.loads(body), worked("status", "--json").json
    assert code == 200
    assert told["orgs"] == typed["orgs"]
    code, body = served("/metrics")
    assert code == 200
    assert "# HELP sfsync_last_success_timestamp" in body or "# HELP sfsync_org_paused" in body
    assert served("/elsewhere")[0] == 404
