"""A stand-in for LLM providers: a server that speaks OpenAI's and Anthropic's protocols and misbehaves on command.

It is not a model: it judges by simple rules from the prompt alone, so that results reproduce. The project has no other
stand-in. It needs no package that Gavel does not need, and docs/development.md describes it.
"""
