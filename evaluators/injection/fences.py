"""Text that looks like the fences which the judge's prompt puts around judged text."""

from __future__ import annotations

import re

# Each part can match in one way only, so that "<" before 60 000 spaces costs one pass over them.
FENCE_LIKE = re.compile(r"<\s*(?:/\s*)?judged-[^<>\n]{0,80}>", re.IGNORECASE)
