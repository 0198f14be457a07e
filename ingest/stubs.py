"""Answers that keep SDKs quiet: Gavel has no feature flags, surveys or recordings, and says so in their words."""

from __future__ import annotations

import msgspec

from ingest.answers import Answer, Refusal
from ingest.body import Receive, read_body
from ingest.door import Door, Request

_COMPRESSION = ["gzip", "gzip-js"]
_FLAGS = msgspec.json.encode(
    {
        "flags": {},
        "featureFlags": {},
        "featureFlagPayloads": {},
        "errorsWhileComputingFlags": False,
        "sessionRecording": False,
        "supportedCompression": _COMPRESSION,
    }
)
_CONFIG = msgspec.json.encode(
    {
        "sessionRecording": False,
        "supportedCompression": _COMPRESSION,
        "hasFeatureFlags": False,
        "surveys": False,
        "heatmaps": False,
        "capturePerformance": False,
        "autocapture_opt_out": True,
    }
)
_DEFINITIONS = b'{"flags": [], "group_type_mapping": {}, "cohorts": {}}'
_SCRIPT = (
    b"(function(){window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
    b"window._POSTHOG_REMOTE_CONFIG[%s]={config:%s,siteApps:[]}})();"
)
_TAKEN = b'{"status": "Ok"}'
_UNREAD_LIMIT = 1024 * 1024


async def flags(_door: Door, request: Request, receive: Receive) -> Answer:
    """Answer that there are no feature flags."""
    await _read_and_forget(request, receive)
    return Answer(200, _FLAGS)


async def definitions(_door: Door, _request: Request, _receive: Receive) -> Answer:
    """Answer that there are no definitions of feature flags."""
    return Answer(200, _DEFINITIONS)


async def recordings(_door: Door, request: Request, receive: Receive) -> Answer:
    """Take a session recording and forget it; of a large one the rest is left unread."""
    try:
        await _read_and_forget(request, receive)
    except Refusal as refusal:
        if refusal.status != 413:
            raise
        return Answer(200, _TAKEN, headers=((b"connection", b"close"),))
    return Answer(200, _TAKEN)


async def config(_door: Door, request: Request, _receive: Receive) -> Answer:
    """Answer that everything but capturing is switched off."""
    if request.path.endswith("/config.js"):
        token = request.path.split("/")[2]
        # JSON inside a script: `<` could end the element that loads it.
        name = msgspec.json.encode(token).replace(b"<", b"\\u003c")
        return Answer(200, _SCRIPT % (name, _CONFIG), b"application/javascript")
    return Answer(200, _CONFIG)


async def _read_and_forget(request: Request, receive: Receive) -> None:
    if request.method == "POST":
        await read_body(receive, request.headers, request.reservation, limit=_UNREAD_LIMIT)
