"""Runs a peer in its own environment against the local org: ``PYTHON peer_door.py PEER FOLDER``.

Changes nothing of how a peer reads: it only shows it the way to an org that is not at its usual address. Stands alone,
because it runs where sfsync is not installed.
"""

import json
import sys
import time
import types
from functools import lru_cache
from pathlib import Path

PLACE = Path(sys.argv[2])
HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")


def lead_home(url):
    """Send every login to the local org."""
    import requests

    send = requests.Session.send

    def send_home(self, prepared, **more):
        for host in HOSTS:
            prepared.url = prepared.url.replace(host, url)
        return send(self, prepared, **more)

    requests.Session.send = send_home


def now():
    """Note that everything is imported: from here on the peer is measured, as sfsync is."""
    (PLACE / "began").write_text(str(time.perf_counter()))


def gurglefish(folder):
    """Sync into PostgreSQL; its files are kept below ``folder`` in place of its fixed directory."""
    cache = types.ModuleType("fastcache")  # an extension that no longer builds, of which it uses this one name
    cache.lru_cache = lru_cache
    cache.clru_cache = lru_cache
    sys.modules["fastcache"] = cache
    from gurglefish import config

    config.storagedir = str(folder)
    from gurglefish import sfarchive

    sys.argv = ["gurglefish", "bench", "--sync"]
    now()
    sfarchive.main()


def airbyte(folder):
    """Read the catalog's streams to standard output."""
    from source_salesforce.run import run

    options = ["--config", str(folder / "config.json"), "--catalog", str(folder / "catalog.json")]
    state = folder / "state.json"
    sys.argv = ["source-salesforce", "read", *options, *(["--state", str(state)] if state.exists() else [])]
    now()
    run()


def tap(folder):
    """Read the catalog's streams to standard output."""
    from tap_salesforce import main

    options = ["--config", str(folder / "config.json"), "--properties", str(folder / "catalog.json")]
    sys.argv = ["tap-salesforce", *options]
    now()
    main()


def tap_discovers(folder):
    """Print the catalog of everything there is."""
    from tap_salesforce import main

    sys.argv = ["tap-salesforce", "--config", str(folder / "config.json"), "--discover"]
    main()


def airbyte_discovers(folder):
    """Print the catalog of everything there is."""
    from source_salesforce.run import run

    sys.argv = ["source-salesforce", "discover", "--config", str(folder / "config.json")]
    run()


if __name__ == "__main__":
    lead_home(json.loads((PLACE / "org.json").read_text())["url"])
    {f.__name__: f for f in (gurglefish, airbyte, airbyte_discovers, tap, tap_discovers)}[sys.argv[1]](PLACE)
