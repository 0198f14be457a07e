"""The limits of a request, in one place."""

from __future__ import annotations

MIB = 1024 * 1024
MAX_WIRE_BYTES = 32 * MIB
MAX_UNPACKED_BYTES = 64 * MIB
MAX_EVENTS = 10_000
MAX_ELEMENTS = 40_000
"""Events, and the parts of an envelope around spans, of one request. More would take memory before they are counted."""
MAX_PROPERTIES = 10_000
"""Properties of an event, and of its person: more of them take seconds and hundreds of megabytes."""
MAX_NAME_CHARS = 200
MAX_DISTINCT_ID_CHARS = 200
MAX_TRACE_ID_CHARS = 1_024
"""Characters of a trace's id up to which it is the key of its messages as it is."""
MAX_FIELD_CHARS = 256
"""Characters of a name, an id, a time or a token that are decoded at all; more than any of them may have."""
MAX_DEPTH = 128
MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request's line and headers. Around a body that comes in chunks, as many more as the body has."""
MAX_HEADS_BYTES = 16 * MIB
"""Bytes of incomplete heads, of all connections of a process. A complete head is read in one piece nearly always."""
MAX_PIPELINED = 16
HEAD_TIMEOUT_S = 10.0
"""Seconds that a connection may wait for a complete head: when it is new, and from the first byte of each head on."""
CHUNK_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 8.0
"""Seconds from the last byte of a request to its answer; the shortest timeout of a client is 10 s."""
