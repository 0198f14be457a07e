"""A stand-in for LLM providers: a server that speaks OpenAI's and Anthropic's protocols and misbehaves on command.

It judges by simple rules from the prompt alone, so that results reproduce; it is no model. It is the only stand-in of
the project, needs nothing that Gavel itself does not need, and is described in docs/development.md.
"""
