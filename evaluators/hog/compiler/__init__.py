"""Hog's compiler: names and types are checked, then Python code objects are emitted."""
