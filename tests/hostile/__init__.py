"""Attacks by strangers, and proofs that they do no harm."""
