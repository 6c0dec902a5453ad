"""Mappings as deployable Salesforce source: generate it, prove it without an org, zip it for a deploy.

``generate`` makes the package of a set of mappings, ``check`` returns what an org would refuse of a package,
``zip_package`` packs one; ``generated_files``, ``write`` and ``stale`` keep the committed copies true. It may not know
orgs, the store or the network. It keeps one law: the same mappings give the same bytes.
"""

from sfsync.metadata.check import Problem, check, contents
from sfsync.metadata.fields import REVISION
from sfsync.metadata.fieldspage import fields_page
from sfsync.metadata.generate import (
    API_VERSION,
    COMMAND,
    SOURCE,
    UNINSTALL,
    field_docs,
    generate,
    generated_files,
    hub_of,
    read_package,
    source_files,
    stale,
    uninstall,
    write,
    zip_package,
)
from sfsync.metadata.packagepage import package_page
from sfsync.metadata.permissions import ROLES
from sfsync.metadata.rules import APPROVE, SERVICE

__all__ = [
    "API_VERSION",
    "APPROVE",
    "COMMAND",
    "REVISION",
    "ROLES",
    "SERVICE",
    "SOURCE",
    "UNINSTALL",
    "Problem",
    "check",
    "contents",
    "field_docs",
    "fields_page",
    "generate",
    "generated_files",
    "hub_of",
    "package_page",
    "read_package",
    "source_files",
    "stale",
    "uninstall",
    "write",
    "zip_package",
]
