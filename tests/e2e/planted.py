"""What must never stand in a log: what people wrote, and every secret of an installation; and who looks for it.

May not know who logs. It keeps one law: a text is looked for as it is and as JSON writes it.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.real import Real

TEXTS = {"Case": ("Subject", "Description"), "Time_Entry__c": ("Description__c",)}


def texts(real: Real) -> list[str]:
    """Return what the people of the org wrote: subjects and descriptions."""
    said: set[str] = set()
    for sobject, names in TEXTS.items():
        for name in names:
            rows = real.org.storage.rows(f'SELECT DISTINCT "{name}" FROM "{sobject}" WHERE "{name}" IS NOT NULL')
            said.update(str(row[0]) for row in rows if len(str(row[0])) > 4)
    return sorted(said)


def secrets(real: Real) -> list[str]:
    """Return every token the org ever gave out, its passwords and app secret, and each line of the private key."""
    logins = real.org.logins
    found = {*logins.sessions, *logins.refresh_tokens, *logins.passwords.values()}
    found |= {app.client_secret for app in logins.apps.values() if app.client_secret}
    found |= {str(real.line[key]) for key in ("client_secret", "password", "access_token", "refresh_token")}
    key = Path(real.line["private_key_file"]).read_text(encoding="utf-8").splitlines()
    return sorted(found | {line for line in key if len(line) > 20 and "KEY" not in line})


def leaked(log: str, forbidden: list[str]) -> list[str]:
    """Return which of these stand in a log, raw or as JSON writes them."""
    return [text for text in forbidden if text in log or json.dumps(text)[1:-1] in log]
