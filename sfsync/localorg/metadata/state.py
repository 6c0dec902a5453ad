"""What an org remembers of its metadata beside the schema: the components as deployed, deployments, retrievals.

It may not know XML faces. It keeps one law: it belongs to one org and lives as long as that org.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sfsync.localorg.schema import PicklistValue
from sfsync.localorg.xmltree import Element

if TYPE_CHECKING:
    from sfsync.localorg.metadata.deploy import Deployment
    from sfsync.localorg.metadata.retrieve import Retrieval
    from sfsync.localorg.org import LocalOrg
    from sfsync.localorg.storage import Storage


@dataclass(slots=True)
class Kept:
    """A component as it was last deployed, who made it and who changed it last."""

    kind: str
    name: str
    element: Element
    id: str
    created_at: datetime
    created_by: str
    modified_at: datetime
    modified_by: str


@dataclass(slots=True)
class MetadataState:
    """Components by (type, full name), value sets by name, and what was deployed and retrieved, by id."""

    kept: dict[tuple[str, str], Kept] = field(default_factory=dict)
    value_sets: dict[str, tuple[PicklistValue, ...]] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    retrievals: dict[str, Retrieval] = field(default_factory=dict)
    slow_seconds: int = 0
    """How long a deploy stays in progress by the org's clock; 0 ends it before the answer to the deploy call."""

    def children(self, parent: str) -> list[Kept]:
        """Return the components inside an object's file, in the order they were deployed."""
        start = f"{parent}."
        return [k for k in self.kept.values() if k.name.startswith(start) and k.kind not in ("Layout", "QuickAction")]


_STATES: WeakKeyDictionary[Storage, MetadataState] = WeakKeyDictionary()


def state_of(org: LocalOrg) -> MetadataState:
    """Return the metadata state of an org, made when first asked for."""
    found = _STATES.get(org.storage)
    if found is None:
        found = _STATES[org.storage] = MetadataState()
    return found
