"""An installation as an operator makes one: the settings, and a file for each client, around orgs that are served.

May not know what is tested. It keeps one law: the settings' text is written here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfsync.settings import ScheduleSettings, Settings, StoreSettings, load
from tests.e2e.stage import CLIENT_FILE

HEAD = """
data_dir = "{folder}/data"
log_level = "{log_level}"
[store]
url = "{store}"
lease_seconds = {lease_seconds}
[schedule]
beat_seconds = {beat_seconds}
retry_seconds = {retry_seconds}
[broker]
url = "{broker}"
"""
ORG = """
[orgs.{name}]
login_url = "{login_url}"
client_id = "{client_id}"
private_key_file = "{private_key_file}"
username = "{integration_username}"
ca_file = "{ca_file}"
every_minutes = 1440
audit = "{audit}"
"""
STORE, SCHEDULE = StoreSettings(), ScheduleSettings()


def install(
    folder: Path,
    lines: Mapping[str, Any],
    *,
    store: str,
    broker: str,
    lease_seconds: int = STORE.lease_seconds,
    beat_seconds: int = SCHEDULE.beat_seconds,
    retry_seconds: int = SCHEDULE.retry_seconds,
    log_level: str = "INFO",
    overlay: str | None = None,
    audit: str = "sun 03:30",
) -> Settings:
    """Write ``sfsync.toml`` and ``clients/`` into a folder and return the settings that are then in force.

    ``lines`` is what a local org server says of itself; each of its orgs is a client's own org. ``overlay`` is the text
    of the clients' files where they are not plain ones.
    """
    text = HEAD.format(
        folder=folder, store=store, broker=broker, lease_seconds=lease_seconds, beat_seconds=beat_seconds,
        retry_seconds=retry_seconds, log_level=log_level,
    )  # fmt: skip
    (folder / "clients").mkdir(parents=True)
    for line in lines["orgs"]:
        name = line["name"]
        text += ORG.format(**{**lines, **line, "audit": audit})
        plain = CLIENT_FILE.format(name=name, title=name.title(), plan="gold")
        (folder / "clients" / f"{name}.yaml").write_text(overlay or plain, encoding="utf-8")
    (folder / "sfsync.toml").write_text(text, encoding="utf-8")
    return load(folder / "sfsync.toml", {"HOME": str(folder)})
