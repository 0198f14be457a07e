"""`Settings`: all that can be set, validated together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.settings.clustering import Clustering
from config.settings.ingest import Ingest
from config.settings.kafka import Kafka
from config.settings.otel import Otel
from config.settings.reports import Reports
from config.settings.safety import find_unsafe, is_fernet_key
from config.settings.section import CommaList
from config.settings.sections import (
    Api,
    ClickHouse,
    Console,
    DeadLetters,
    Definitions,
    Http,
    Judge,
    Log,
    Matcher,
    Sink,
    Store,
    Watchdog,
)
from config.settings.windows import Windows


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
    """All settings. `load_settings` reads them from their sources; `Settings(...)` takes only its arguments.

    The object is frozen. Secrets are `SecretStr`, and DSNs are too, because they hold passwords.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    layers: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Sources of a subclass's values after the arguments of the call; the first source that has a value wins."""

    data_dir: Path = Path(".gavel")
    """Folder of the embedded parts: the SQLite store and chdb."""
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """`exactly_once` commits results and their offsets in one Kafka transaction. `at_least_once` is faster, but a
    crash can write a result again under the same id."""
    secret_keys: Annotated[tuple[SecretStr, ...], CommaList] = ()
    """Fernet keys for the secrets in the store (provider keys, report targets), newest first. The first one encrypts,
    and all of them decrypt. `gavel keys new-secret` makes one."""
    kafka: Kafka = Kafka()
    store: Store
    clickhouse: ClickHouse
    definitions: Definitions = Definitions()
    http: Http = Http()
    log: Log = Log()
    matcher: Matcher = Matcher()
    judge: Judge = Judge()
    sink: Sink = Sink()
    dead_letters: DeadLetters = DeadLetters()
    watchdog: Watchdog = Watchdog()
    api: Api = Api()
    ingest: Ingest = Ingest()
    windows: Windows = Windows()
    clustering: Clustering = Clustering()
    reports: Reports = Reports()
    console: Console = Console()
    otel: Otel = Otel()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: the arguments of the call, then `layers`. Nothing else is read."""
        del env_settings, dotenv_settings, file_secret_settings  # `load_settings` reads these, and checks their names
        return (init_settings, *(_Layer(settings_cls, values) for values in cls.layers))

    @model_validator(mode="before")
    @classmethod
    def _embed(cls, given: Any) -> Any:
        """Put the embedded store and the embedded ClickHouse into `data_dir` where no DSN is given."""
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
                    f"key {position} of {len(keys)} is not a Fernet key (32 bytes in URL-safe base64); "
                    "make one with `gavel keys new-secret`"
                )
        return keys

    @model_validator(mode="after")
    def _safe_together(self) -> Self:
        problem = find_unsafe(self)
        if problem is not None:
            raise ValueError(problem)
        return self
