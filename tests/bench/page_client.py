"""A client in a process of its own: asks one kept-alive HTTPS connection for the same paths, round after round.

``python -m tests.bench.page_client`` reads its task as JSON from standard input and writes what it measured as JSON. It
may not know the local org: it has the standard library, an address and a token, as any other client.
"""

from __future__ import annotations

import gzip
import json
import ssl
import statistics
import sys
import time
from http.client import HTTPSConnection


def main() -> None:
    """Print, for each path, the median milliseconds from sending to the last byte, and the bytes of the line."""
    task = json.load(sys.stdin)
    trusted = ssl.create_default_context(cafile=task["ca_file"])
    connection = HTTPSConnection("localhost", task["port"], context=trusted, timeout=120)
    headers = {"Authorization": f"Bearer {task['token']}", "Accept-Encoding": task["encoding"]}
    taken: dict[str, list[float]] = {path: [] for path in task["paths"]}
    sizes: dict[str, int] = {}
    for _ in range(task["rounds"]):
        for path, found in taken.items():
            began = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.headers.get("Content-Encoding") == "gzip":
                sizes[path] = len(body)
                body = gzip.decompress(body)
            found.append((time.perf_counter() - began) * 1000)
            sizes.setdefault(path, len(body))
            if answer.status != 200:
                raise SystemExit(f"{answer.status} {body[:200]!r}")
    connection.close()
    json.dump({path: [statistics.median(found), sizes[path]] for path, found in taken.items()}, sys.stdout)


if __name__ == "__main__":
    main()
