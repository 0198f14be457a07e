"""The web pages: templates, small ES modules and one stylesheet over `api/services/`."""
