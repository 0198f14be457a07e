"""Replays and backfills: the matcher's decisions over a range of the past."""
