"""Stylesheet, scripts and icon, as they are served."""
