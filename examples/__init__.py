"""Real generations, example evaluations, a stand-in for LLM providers, and the demo. Installed with Gavel."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent

EVALUATORS = _HERE / "evaluators"
"""Ready evaluators in Hog, each with its cases."""
JUDGES = _HERE / "judges"
"""LLM judges."""
GENERATIONS = _HERE / "generations"
"""Rows of generations as JSON lines."""
