"""Rotation of the keys that encrypt provider keys at rest."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from config.secrets import SecretBox, UndecipherableSecret
from config.store.engine import Database
from config.store.judging_tables import provider_keys


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many keys were encrypted anew, and the ids of those that nothing configured can open."""

    resealed: int
    undecipherable: tuple[str, ...]


def reseal_all(database: Database, box: SecretBox) -> Rotated:
    """Encrypt every stored provider key with the newest key of `box`.

    One short transaction per provider key, and none is written over what changed meanwhile, so it may run beside
    everything else.

    Raises:
        NoSecretKeys: nothing to encrypt with is configured.
    """
    row = provider_keys.c
    with database.read() as connection:
        stored = connection.execute(sa.select(row.id, row.sealed_api_key).order_by(row.id)).all()
    resealed = 0
    undecipherable: list[str] = []
    for key_id, sealed in stored:
        try:
            anew = box.reseal(sealed)
        except UndecipherableSecret:
            undecipherable.append(key_id)
            continue
        change = sa.update(provider_keys).where(row.id == key_id, row.sealed_api_key == sealed)
        with database.write() as connection:
            resealed += connection.execute(change.values(sealed_api_key=anew)).rowcount
    return Rotated(resealed, tuple(undecipherable))
