"""LLM judges: prompt, rendering, structured output, providers, rate control, budgets and cache."""
