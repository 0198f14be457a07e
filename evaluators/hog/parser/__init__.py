"""Hog's syntax: from text to a tree."""
