"""Text that speaks to the judge instead of being judged: attacks of our own, and a detector without a model."""
