"""The exit codes of every process of Gavel: commands, roles and supervisors. `docs/commands.md` explains them to users.

A process that a signal ends has no code of its own: a shell shows 128 and the number of the signal.
"""

from __future__ import annotations

EXIT_OK = 0
"""The command did its work; every role ended in order."""

EXIT_FAILED = 1
"""The thing that was checked is wrong, a server or a role failed, or a question was not answered with yes."""

EXIT_USAGE = 2
"""The command was used in a wrong way, or the settings are wrong. A restart cannot help."""

EXIT_WORSE = 3
"""`gavel compare`: the second version is worse than the first one."""

EXIT_STALLED = 70
"""The watchdog ended a process that made no progress (EX_SOFTWARE of sysexits)."""

EXIT_INTERRUPTED = 130
"""Ctrl-C interrupted a command: 128 and the number of SIGINT, as shells count."""
