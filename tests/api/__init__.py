"""The HTTP API against the pages that its clients were written for."""
