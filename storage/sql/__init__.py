"""The SQL store of definitions: `open_store`, and a repository per kind of thing."""
