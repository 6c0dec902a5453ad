"""The Metadata API of a local org: deploy, retrieve, list and describe, by SOAP and by REST.

It may not know sfsync's own generator or mappings. It keeps one law: an org's schema changes by a deploy and in no
other way, all of it or, where the caller asked for that, the components that stand.

In process: ``deploy_zip(org, data)`` deploys as the administrator and returns the ended ``Deployment``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfsync.localorg.metadata.deploy import Deployment, DeployOptions, start
from sfsync.localorg.metadata.rest import routes
from sfsync.localorg.metadata.state import MetadataState, state_of

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg


def deploy_zip(org: LocalOrg, data: bytes, options: DeployOptions | None = None) -> Deployment:
    """Deploy a zip as the administrator and return the deployment; ``status`` and ``failures`` say how it went."""
    with org.lock:
        return start(org, org.admin, data, options or DeployOptions())


__all__ = ["DeployOptions", "Deployment", "MetadataState", "deploy_zip", "routes", "state_of"]
