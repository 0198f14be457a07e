"""`Settings`: all that can be set, validated together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.settings.kafka import Kafka
from config.settings.safety import find_unsafe, is_fernet_key
from config.settings.section import CommaList
from config.settings.sections import (
    Api,
    ClickHouse,
    DeadLetters,
    Http,
    Judge,
    Log,
    Matcher,
    Sink,
    Store,
    Watchdog,
)


class _Layer(PydanticBaseSettingsSource):
    """Values that were read before, as one of pydantic-settings' sources; it merges them section by section."""

    def __init__(self, settings_cls: type[BaseSettings], values: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = dict(values)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of one field, its key, and that it is not JSON."""
        del field
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


class Settings(BaseSettings):
    """All settings. `load_settings` reads them; `Settings(...)` takes only what it is given.

    Frozen. Secrets are `SecretStr`; DSNs too, for they hold passwords.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    layers: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """What a subclass takes values from after the call's own, first one first."""

    data_dir: Path = Path(".gavel")
    """Folder of everything embedded: the SQLite store, chdb."""
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """`exactly_once`: results and the offsets that they answer in one Kafka transaction. `at_least_once`:
    faster, and a crash may write a result again under the same id."""
    secret_keys: Annotated[tuple[SecretStr, ...], CommaList] = ()
    """Fernet keys that encrypt provider keys in the store, newest first: the first encrypts, all decrypt. Make
    one with `gavel keys new-secret`."""
    kafka: Kafka = Kafka()
    store: Store
    clickhouse: ClickHouse
    http: Http = Http()
    log: Log = Log()
    matcher: Matcher = Matcher()
    judge: Judge = Judge()
    sink: Sink = Sink()
    dead_letters: DeadLetters = DeadLetters()
    watchdog: Watchdog = Watchdog()
    api: Api = Api()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the call, then from `layers`; nothing is read behind the caller's back."""
        del env_settings, dotenv_settings, file_secret_settings  # `load_settings` reads these, and checks their names
        return (init_settings, *(_Layer(settings_cls, values) for values in cls.layers))

    @model_validator(mode="before")
    @classmethod
    def _embed(cls, given: Any) -> Any:
        """Point what has no DSN of its own into `data_dir`."""
        if not isinstance(given, dict):
            return given
        folder = Path(str(given.get("data_dir", cls.model_fields["data_dir"].default))).absolute()
        embedded = {"store": f"sqlite:///{folder}/gavel.db", "clickhouse": f"chdb://{folder}/clickhouse"}
        filled = dict(given)
        for section, dsn in embedded.items():
            values = filled.get(section, {})
            if isinstance(values, dict) and "dsn" not in values:
                filled[section] = {**values, "dsn": dsn}
        return filled

    @field_validator("secret_keys")
    @classmethod
    def _fernet(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for position, key in enumerate(keys, start=1):
            if not is_fernet_key(key.get_secret_value()):
                raise ValueError(
                    f"key {position} of {len(keys)} is no Fernet key (32 bytes in URL-safe base64); "
                    "make one with `gavel keys new-secret`"
                )
        return keys

    @model_validator(mode="after")
    def _safe_together(self) -> Self:
        problem = find_unsafe(self)
        if problem is not None:
            raise ValueError(problem)
        return self
