"""Ends with a remedy if this Python cannot make Gavel's virtual environment. Runs on any Python 3."""

import sys

MESSAGE = "Gavel needs Python 3.11 or newer, and {} is {}.{}. Name another one: make PYTHON=python3.12 …"

if sys.version_info < (3, 11):  # noqa: UP036 - this very check
    sys.exit(MESSAGE.format(sys.executable, *sys.version_info[:2]))
try:
    import ensurepip  # noqa: F401 - Debian ships Python without it
    import venv  # noqa: F401  # only whether it is there
except ImportError:
    sys.exit("This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv")
