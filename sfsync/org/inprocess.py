"""A requests adapter that answers from a local org in this process: no socket, the same code as its HTTPS face.

It may not know what is asked. It keeps one law: whatever a network can do to an answer (refuse, reset, cut, delay) is
raised as requests itself would raise it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import requests
import urllib3
import urllib3.exceptions
from requests.adapters import BaseAdapter

from sfsync.clock import Clock
from sfsync.localorg.face import Request, Response
from sfsync.localorg.world import World


class InProcess(BaseAdapter):
    """Mounted on a session, it serves every host from ``world``; waits pass on ``clock``."""

    def __init__(self, world: World, clock: Clock | None = None) -> None:
        super().__init__()
        self.world = world
        self._clock = clock

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: None | float | tuple[float, float] | tuple[float, None] = None,
        verify: bool | str = True,
        cert: None | bytes | str | tuple[bytes | str, bytes | str] = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer ``request``; a broken answer is raised, or ends early, as it would on a network."""
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else bytes(body)
        asked = Request.of(str(request.method), str(request.url), dict(request.headers), content)
        given = self.world.handle(asked)
        limit = timeout[1] if isinstance(timeout, tuple) else timeout
        if given.delay_seconds and self._clock is not None:
            self._clock.sleep(min(given.delay_seconds, limit or given.delay_seconds))
        if given.broken == "timeout" or (limit is not None and given.delay_seconds > limit):
            raise requests.exceptions.ReadTimeout("the org did not answer in time", request=request)
        if given.broken == "reset":
            raise requests.exceptions.ConnectionError(
                urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset by peer")),
                request=request,
            )
        return _as_requests(request, given)

    def close(self) -> None:
        """Nothing is open."""


def _as_requests(request: requests.PreparedRequest, given: Response) -> requests.Response:
    """Return ``given`` as requests shows an answer of the network; a cut body announces more than it holds."""
    headers: Any = urllib3.HTTPHeaderDict(given.headers)
    content = given.body
    if given.broken == "cut":
        headers.setdefault("Content-Length", str(len(content)))
        content = content[: len(content) // 2]
    raw = urllib3.HTTPResponse(
        body=io.BytesIO(content),
        headers=headers,
        status=given.status,
        preload_content=False,
        request_method=request.method,
        enforce_content_length=given.broken == "cut",
    )
    answer = requests.Response()
    answer.status_code = given.status
    answer.headers = requests.structures.CaseInsensitiveDict(headers)
    answer.raw = raw
    answer.request = request
    answer.url = str(request.url)
    answer.encoding = requests.utils.get_encoding_from_headers(answer.headers)
    return answer
