"""What no release may do: trust an unchecked certificate, read XML that can expand, write tables a spreadsheet runs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sfsync.localorg import xmltree
from sfsync.metadata.xmltext import XmlError
from sfsync.metadata.xmltext import parse as read
from tests.house.tree import imports, modules, text

WEAK = {"CERT_NONE", "_create_unverified_context", "disable_warnings", "InsecureRequestWarning"}
XML_READERS = {"sfsync.metadata.xmltext", "sfsync.metadata.shapes", "sfsync.localorg.xmltree"}
"""They read what people give us, a file of our own, and what is sent to the local org. No answer of an org is XML."""

BOMB = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]><l>&a;</l>"""


def unchecked(source: str) -> list[int]:
    """Return the lines of a source on which a certificate is not checked."""
    found = []
    for node in ast.walk(ast.parse(source)):
        off = isinstance(node, ast.keyword) and node.arg == "verify"
        off = off and isinstance(node.value, ast.Constant) and not node.value.value  # type: ignore[union-attr]
        if isinstance(node, ast.Assign):
            names = {ast.unparse(target).rpartition(".")[2] for target in node.targets}
            value = isinstance(node.value, ast.Constant) and not node.value.value
            off = off or (value and bool(names & {"verify", "check_hostname"}))
        word = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if off or word in WEAK:
            found.append(getattr(node, "lineno", 0))
    return found


def test_every_certificate_is_checked_always() -> None:
    assert {str(m): lines for m in modules() if (lines := unchecked(text(m.path)))} == {}


@pytest.mark.parametrize(
    "line",
    ["get(url, verify=False)", "session.verify = False", "context.check_hostname = False", "mode = ssl.CERT_NONE"],
)
def test_a_certificate_that_is_not_checked_is_seen(line: str) -> None:
    assert unchecked(line)


def test_xml_is_read_by_the_readers_that_refuse_entities_and_by_nobody_else() -> None:
    named = {
        m.name
        for m in modules()
        for name, _ in imports(m)
        if name.split(".")[0] in ("xml", "lxml", "zeep") and not name.startswith("xml.sax.saxutils")
    }
    assert named <= XML_READERS


@pytest.mark.parametrize("document", [BOMB, OUTSIDE])
def test_xml_with_entities_of_its_own_is_refused_before_anything_is_expanded(document: bytes) -> None:
    with pytest.raises(XmlError):
        read(document)
    with pytest.raises(xmltree.XmlError):
        xmltree.parse(document)


def test_no_command_writes_a_table_that_a_spreadsheet_would_run() -> None:
    """People are given text and JSON. CSV goes to orgs alone, where a leading ``=`` is the client's own text."""
    writers = {m.name for m in modules() if "csv" in {name.split(".")[0] for name, _ in imports(m)}}
    assert not {name for name in writers if name.startswith("sfsync.cli")} - {"sfsync.cli.demo_cases"}
    assert "csv.writer" not in text(Path("sfsync/cli/demo_cases.py"))
