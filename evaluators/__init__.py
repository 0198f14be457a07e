"""Evaluators: what turns one generation into a verdict.

`evaluators.hog` runs deterministic Hog code, `evaluators.llm_judge` asks a model. Both take a
`Generation` and give a `Verdict` or a `Skip`.
"""
