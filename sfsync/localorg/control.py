"""The control face ``/_local/``: what no real org has, for tests, demos and people who look behind the curtain.

It may not be reached unless the world was opened with ``control``. It keeps one law: everything here is also a plain
method of ``LocalOrg``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sfsync.clock import ManualClock
from sfsync.localorg.errors import ApiError, not_found
from sfsync.localorg.face import Call, Function, Response, Routes, json_response
from sfsync.localorg.faults import KINDS, Faults
from sfsync.localorg.storage import Held

routes = Routes()


def _control(methods: str, template: str, summary: str) -> Callable[[Function], Function]:
    """Register a route that exists only in a world with control; its org may be named by ``?org=``."""

    def register(function: Function) -> Function:
        def guarded(call: Call) -> Response:
            if not call.world.control:
                raise not_found()
            named = call.request.query.get("org")
            if named is not None:
                if named not in call.world.orgs:
                    raise not_found(f"no org is called {named}")
                call.org = call.world.orgs[named]
            with call.org.lock:
                return function(call)

        routes.on(methods, f"/_local/{template}", summary, session=False, cost=0)(guarded)
        return function

    return register


def _instant(text: Any) -> datetime:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise ApiError(400, "INVALID_INPUT", f"not an instant: {text}") from None
    if found.tzinfo is None:
        raise ApiError(400, "INVALID_INPUT", f"an instant needs a zone: {text}")
    return found


@_control("GET", "orgs", "The orgs of this world")
def orgs(call: Call) -> Response:
    """List the orgs with what a client needs to log in."""
    return json_response([o.credentials() for o in call.world.orgs.values()])


@_control("POST", "reset", "Make the org as fresh as it began")
def reset(call: Call) -> Response:
    """Forget every row, schema change, session, fault and journal entry."""
    call.org.reset()
    return Response(204)


@_control("POST", "seed", "Create rows with any system fields")
def seed(call: Call) -> Response:
    """Create rows: ``{"object": …, "records": […]}``, or a list of those; answer with the ids."""
    body = call.json()
    made = {}
    for each in body if isinstance(body, list) else [body]:
        made[each["object"]] = call.org.seed_rows(each["object"], each["records"])
    return json_response(made)


@_control("GET", "clock", "Read the org's clock")
def read_clock(call: Call) -> Response:
    """Say what time it is in the org."""
    return json_response({"now": call.org.now().isoformat(), "moves_by_hand": isinstance(call.org.clock, ManualClock)})


@_control("POST", "clock", "Set or advance the org's clock")
def move_clock(call: Call) -> Response:
    """Set the clock (``{"set": instant}``) or move it on (``{"advance_seconds": n}``); it then moves by hand only."""
    body = call.json_object()
    clock = call.org.clock
    if not isinstance(clock, ManualClock):
        clock = call.org.clock = ManualClock(call.org.now())
    if "set" in body:
        clock.set(_instant(body["set"]))
    if "advance_seconds" in body:
        clock.advance(float(body["advance_seconds"]))
    call.org.settle_due()
    return read_clock(call)


@_control("GET", "faults", "Read the fault plan")
def read_faults(call: Call) -> Response:
    """Show the rules with how often each was asked and has struck, and the kinds there are."""
    rules = [{"kind": r.kind, "seen": r.seen, "struck": r.struck} for r in call.org.faults.rules]
    return json_response({"rules": rules, "kinds": KINDS})


@_control("PUT POST", "faults", "Set the fault plan")
def set_faults(call: Call) -> Response:
    """Take a new plan in place of the old one."""
    try:
        call.org.faults = Faults.of(call.json())
    except (TypeError, ValueError) as problem:
        raise ApiError(400, "INVALID_INPUT", str(problem)) from None
    return Response(204)


@_control("DELETE", "faults", "Stop failing")
def clear_faults(call: Call) -> Response:
    """Forget the plan."""
    call.org.faults = Faults()
    return Response(204)


@_control("POST", "act", "Edit as a person")
def act(call: Call) -> Response:
    """Carry out ``{"user": …, "steps": [{"do": "insert|update|delete|undelete|merge", …}]}``, all or none.

    With ``"held": number`` the steps belong to a transaction opened by ``hold``.
    """
    body = call.json_object()
    steps = body.get("steps") or [body]
    held = _held(call, body["held"]) if "held" in body else None
    if held is None:
        with call.org.storage.unit():
            made = list(_steps(call, body.get("user"), steps))
    else:
        with call.org.within(held):
            made = list(_steps(call, body.get("user"), steps))
    return json_response(made)


def _steps(call: Call, user: str | None, steps: Iterable[dict[str, Any]]) -> Iterable[list[str]]:
    org = call.org
    for step in steps:
        match step.get("do"):
            case "insert":
                yield org.insert(step["object"], step.get("records") or step["values"], user=user)
            case "update":
                org.update(step["object"], step["id"], step["values"], user=user)
                yield [step["id"]]
            case "delete":
                org.delete(step["object"], step["id"], user=user, hard=bool(step.get("hard")))
                yield [step["id"]]
            case "undelete":
                org.undelete(step["id"], user=user)
                yield [step["id"]]
            case "merge":
                org.merge(step["object"], step["master"], step["losers"], user=user)
                yield [step["master"]]
            case other:
                raise ApiError(400, "INVALID_INPUT", f"no step is called {other!r}")


def _held(call: Call, number: Any) -> Held:
    held = call.org.storage.held.get(int(number))
    if held is None:
        raise not_found(f"no held transaction has the number {number}")
    return held


@_control("POST", "hold", "Open a transaction that stays invisible")
def hold(call: Call) -> Response:
    """Open a transaction; ``commit_at`` commits it by itself when the clock gets there."""
    body = call.json_object() if call.request.body else {}
    commit_at = _instant(body["commit_at"]) if body.get("commit_at") else None
    user = body.get("user")
    held = call.org.hold(None if user is None else call.org.actor(user).user_id, commit_at=commit_at)
    return json_response({"held": held.number, "began_at": held.began_at})


@_control("POST", "commit", "Commit a held transaction")
def commit(call: Call) -> Response:
    """Make what ``{"held": number}`` wrote visible with the stamps it had."""
    call.org.commit_held(_held(call, call.json_object().get("held")))
    return Response(204)


@_control("POST", "abandon", "Roll a held transaction back")
def abandon(call: Call) -> Response:
    """Forget what ``{"held": number}`` wrote."""
    call.org.storage.abandon(_held(call, call.json_object().get("held")))
    return Response(204)


@_control("POST", "hard-delete", "Delete past the recycle bin")
def hard_delete(call: Call) -> Response:
    """Remove ``{"object": …, "ids": […]}`` for good."""
    body = call.json_object()
    for one in body["ids"]:
        call.org.delete(body["object"], one, hard=True)
    return Response(204)


@_control("POST", "expire-sessions", "End every session")
def expire(call: Call) -> Response:
    """End every session of the org, as an administrator can."""
    return json_response({"ended": call.org.logins.expire_all()})


@_control("POST", "assign", "Assign a permission set")
def assign(call: Call) -> Response:
    """Give ``{"permission_set": name, "user": …}``."""
    body = call.json_object()
    call.org.assign(body["permission_set"], body["user"])
    return Response(204)


@_control("GET", "journal", "Every request with its cost")
def journal(call: Call) -> Response:
    """Show the requests, the notifications and the total cost."""
    kept = call.org.journal
    return json_response(
        {
            "entries": [e.as_json() for e in kept.entries],
            "notifications": kept.notifications,
            "total_cost": kept.total_cost,
        }
    )


@_control("DELETE", "journal", "Forget the journal")
def clear_journal(call: Call) -> Response:
    """Forget the journal."""
    call.org.journal.clear()
    return Response(204)
