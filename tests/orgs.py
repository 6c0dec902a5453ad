"""Local orgs with the standard metadata in them: deployed once a process, copied for each that is asked for.

A copy has its own name, organisation and ids of new records; the records that were there keep theirs, as in a full copy
of an org. May not know what is tested. It keeps one law: nothing that is done to a copy is seen by another.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache

from sfsync.clock import ManualClock
from sfsync.localorg.metadata import deploy
from sfsync.localorg.org import LocalOrg
from sfsync.mapping import beside_hub, in_hub, load_mappings
from sfsync.metadata import generate, zip_package

SERVICE = "sfsync_Service"
APPROVER = "sfsync_Client_Approver"
PEOPLE = {"sfsync_Consultant": ("consultant1", "consultant2"), APPROVER: ("client1",)}


@cache
def package(kind: str = "alone") -> bytes:
    """The metadata of a client's only org, of its org beside a hub, or of a hub, zipped."""
    standard = load_mappings()
    declared = standard.declared
    shapes = {"alone": standard, "mirrored": beside_hub(declared), "hub": in_hub(declared, "client")}
    return zip_package(generate(shapes[kind]))


@cache
def model(at: datetime, zone: str, kind: str = "alone", people: bool = True) -> LocalOrg:
    """Return an org into which the package was deployed at ``at``; it is there to be copied."""
    org = LocalOrg("model", clock=ManualClock(at), zone=zone)
    done = deploy.start(org, org.admin, package(kind), deploy.DeployOptions(single_package=True))
    assert done.status == "Succeeded", [(m.name, m.problem) for m in done.failures][:5]
    org.assign(SERVICE, org.integration_id)
    for name, persons in PEOPLE.items() if people else ():
        for person in persons:
            if (kind, name) != ("hub", APPROVER):
                org.assign(name, f"{person}@model.example")
    return org


def deploy_into(org: LocalOrg, kind: str = "alone", *, people: bool = True) -> None:
    """Leave a fresh org as if the package had been deployed at this moment and its permissions granted."""
    fill(org, model(org.now(), org.zone, kind, people))


def fill(org: LocalOrg, of: LocalOrg) -> None:
    """Give a fresh org the schema, people and records of ``of``; its name and organisation and new ids stay its own."""
    columns = ", ".join(f'"{field.name}"' for field in org.schema["Organization"].stored_fields())
    [mine] = org.storage.rows(f'SELECT {columns} FROM "Organization"')
    of.storage.db.backup(org.storage.db)
    run = org.storage.db.execute
    run('DELETE FROM "Organization"')
    run(f'INSERT INTO "Organization" ({columns}) VALUES ({", ".join("?" * len(mine))})', mine)
    for table, column in (("User", "Username"), ("User", "Email"), ("Group", "Email")):
        run(f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?)', (f"@{of.name}.", f"@{org.name}."))
    org.schema = of.schema.copy()
    org.custom_grants, org.custom_permissions = dict(of.custom_grants), set(of.custom_permissions)
    for app in org.logins.apps.values():
        if app.run_as == org.integration_id:
            app.run_as = of.integration_id
    org.admin_id, org.integration_id = of.admin_id, of.integration_id
    org.assignment = list(of.assignment)
    org.schema_changed_at, org.log_begins_at = of.schema_changed_at, of.log_begins_at
    org.ids.restore(of.ids.state())
    org._numbers = dict(of._numbers)
    org.access_changed()
