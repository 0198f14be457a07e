"""Settings, evaluation definitions, the stores and what processors cache of them."""
