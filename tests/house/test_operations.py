"""What an operator is given fits the code: metrics that exist, commands that can be typed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from sfsync.cli import root
from sfsync.settings import load
from sfsync.watch import METRICS
from tests.house.tree import ROOT

FOLDER = ROOT / "docs/operations"
METRIC = re.compile(r"\bsfsync_[a-z_]+")


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / "dashboard.json").read_text())["panels"])


def queries() -> list[str]:
    return [rule["expr"] for rule in rules()] + [t["expr"] for panel in panels() for t in panel["targets"]]


def test_every_metric_that_a_rule_or_a_panel_asks_for_exists() -> None:
    named = {name for query in queries() for name in METRIC.findall(query)}
    assert len(rules()) == 12
    assert len(panels()) >= 12
    assert named - METRICS.keys() == set()


def test_every_metric_is_explained_with_its_labels() -> None:
    page = (FOLDER / "README.md").read_text()
    for name, (says, labels) in METRICS.items():
        assert f"| `{name}` | {' '.join(f'`{label}`' for label in labels)} | {says} |" in page


def test_every_label_that_a_text_uses_is_one_of_its_query() -> None:
    for rule in rules():
        used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        labels = {label for name in METRIC.findall(rule["expr"]) for label in METRICS[name][1]}
        assert used <= labels, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["action"]


def starts() -> list[str]:
    units = [path.read_text() for path in sorted((FOLDER / "systemd").glob("*.service"))]
    found = [line.split("/bin/")[1] for unit in units for line in unit.splitlines() if line.startswith("ExecStart=")]
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    ours = [one["command"] for one in services.values() if isinstance(one.get("command"), list)]
    return found + [" ".join(command) for command in ours]


@pytest.mark.parametrize("typed", starts())
def test_what_a_unit_or_a_container_starts_can_be_typed(typed: str) -> None:
    name, *words = typed.split()
    assert name == "sfsync"
    command: click.Command = root
    context = click.Context(root)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, typed
        command = found
    command.make_context("sfsync", words, resilient_parsing=False)


def test_every_unit_restarts_always_and_may_write_in_one_place() -> None:
    for path in sorted(Path(FOLDER / "systemd").glob("*.service")):
        lines = path.read_text().splitlines()
        assert {"Restart=always", "ProtectSystem=strict", "NoNewPrivileges=yes"} <= set(lines), path.name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    def complaints(text: str) -> list[str]:
        unit = tmp_path / "sfsync-tried@.service"
        unit.write_text(text.replace("/usr/local/bin/sfsync", "/bin/true"))
        asked = ["systemd-analyze", "verify", "--man=no", str(unit)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        return [line for line in done.stderr.splitlines() if "sfsync" in line]

    units = [path.read_text() for path in sorted((FOLDER / "systemd").glob("*.service"))]
    assert len(units) == 3
    assert [complaints(unit) for unit in units] == [[], [], []]
    assert complaints(units[0].replace("Restart=always", "Restart=perhaps"))
    assert complaints(units[0].replace("UMask=", "Umask="))


def test_the_compose_file_names_nothing_that_is_not_there() -> None:
    whole = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    services = whole["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= services.keys(), name
        mounted = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert {volume for volume in mounted if not volume.startswith(("/", "."))} <= whole["volumes"].keys(), name
    said = {key: value.replace("${STORE_PASSWORD:?}", "x") for key, value in whole["x-sfsync"]["environment"].items()}
    read = load(environ={key: value for key, value in said.items() if key != "SFSYNC_CONFIG"})
    assert read.store.url == "postgresql://sfsync:x@store/sfsync"
    assert read.broker.url == "redis://broker:6379/0"
