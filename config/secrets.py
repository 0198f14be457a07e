"""Encryption of provider keys at rest, and the parts of them that may be shown.

SecretsError            the root of these errors; no message holds a secret
  NoSecretKeys          no key to encrypt with is configured
  UndecipherableSecret  stored with a key that is no longer configured, or damaged
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

_SHORTEST_TO_SHOW = 32
"""Characters of a key from which on its first and last four tell little of it."""


class SecretsError(RuntimeError):
    """A secret cannot be stored or read."""


class NoSecretKeys(SecretsError):
    """No key to encrypt with is configured."""

    def __init__(self) -> None:
        super().__init__(
            "secret_keys is not set: provider keys cannot be stored; make one with `gavel keys new-secret`"
        )


class UndecipherableSecret(SecretsError):
    """The stored text was encrypted with a key that is not configured, or is damaged."""

    def __init__(self) -> None:
        super().__init__(
            "a stored provider key cannot be decrypted; put the key that it was encrypted with back into "
            "secret_keys (after the new one), or store the provider key again"
        )


class SecretBox:
    """Encrypts and decrypts.

    Args:
        keys: Fernet keys, newest first: the first encrypts, all decrypt.
    """

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        fernets = [Fernet(key.get_secret_value()) for key in keys]
        self._fernet = MultiFernet(fernets) if fernets else None

    def seal(self, secret: SecretStr) -> str:
        """Return the encrypted text.

        Raises:
            NoSecretKeys: nothing is configured to encrypt with.
        """
        if self._fernet is None:
            raise NoSecretKeys
        return self._fernet.encrypt(secret.get_secret_value().encode()).decode()

    def open(self, sealed: str) -> SecretStr:
        """Return what `seal` encrypted.

        Raises:
            NoSecretKeys: nothing is configured to decrypt with.
            UndecipherableSecret: none of the configured keys fits.
        """
        if self._fernet is None:
            raise NoSecretKeys
        try:
            return SecretStr(self._fernet.decrypt(sealed.encode()).decode())
        except InvalidToken:
            raise UndecipherableSecret from None

    def reseal(self, sealed: str) -> str:
        """Return the text encrypted with the newest key, for a rotation. Raises as `open`."""
        return self.seal(self.open(sealed))


def mask(secret: SecretStr) -> str:
    """Return the first and last four characters of a key of at least 32 characters, and `****` for a shorter one."""
    text = secret.get_secret_value()
    return f"{text[:4]}...{text[-4:]}" if len(text) >= _SHORTEST_TO_SHOW else "****"
