"""Hog at run time: values, limits, and the operations that compiled programs call."""
