"""Settings: their sources, the refused ones, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import ROLES, Settings, SettingsError, cautions, load_settings, refuse_roles
from config.settings.loading import setting_names, variable_name
from config.settings.reference import describe_settings, redact_dsn

KEY = "A" * 43 + "="
SASL = {
    "GAVEL_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "GAVEL_KAFKA__SASL_MECHANISM": "PLAIN",
    "GAVEL_KAFKA__SASL_USERNAME": "me",
    "GAVEL_KAFKA__SASL_PASSWORD": "hunter2",
    "GAVEL_KAFKA__BOOTSTRAP_SERVERS": "broker:9093",
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(environ: dict[str, str] | None = None, path: Path | None = None, **overrides: object) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ=environ or {}, overrides=overrides)
    return caught.value.problems


def test_without_any_setting_everything_is_embedded_in_one_absolute_folder(tmp_path: Path) -> None:
    settings = load_settings(environ={})
    assert settings.kafka.is_embedded
    assert settings.store.dsn.get_secret_value() == f"sqlite:///{tmp_path}/.gavel/gavel.db"
    assert settings.clickhouse.dsn.get_secret_value() == f"chdb://{tmp_path}/.gavel/clickhouse"
    assert settings.delivery == "exactly_once"


def test_data_dir_moves_what_is_embedded_and_leaves_a_given_dsn() -> None:
    settings = load_settings(environ={"GAVEL_DATA_DIR": "/data", "GAVEL_STORE__DSN": "sqlite:////s/x.db"})
    assert settings.store.dsn.get_secret_value() == "sqlite:////s/x.db"
    assert settings.clickhouse.dsn.get_secret_value() == "chdb:///data/clickhouse"


def test_settings_made_directly_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAVEL_KAFKA__PARTITIONS", "3")
    assert Settings().kafka.partitions == 8
    assert load_settings().kafka.partitions == 3


def test_call_wins_over_environment_over_file_over_default_setting_by_setting(tmp_path: Path) -> None:
    Path("gavel.yaml").write_text("kafka: {partitions: 2, group_prefix: file, client_id: file}\n")
    settings = load_settings(
        environ={"GAVEL_KAFKA__PARTITIONS": "3", "GAVEL_KAFKA__GROUP_PREFIX": "env"},
        overrides={"kafka": {"partitions": 4}},
    )
    assert (settings.kafka.partitions, settings.kafka.group_prefix, settings.kafka.client_id) == (4, "env", "file")
    assert settings.kafka.max_poll_interval_s == 300


def test_gavel_config_names_the_file_and_an_argument_wins_over_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("api: {port: 1}")
    (tmp_path / "b.yaml").write_text("api: {port: 2}")
    environ = {"GAVEL_CONFIG": "a.yaml"}
    assert load_settings(environ=environ).api.port == 1
    assert load_settings(tmp_path / "b.yaml", environ=environ).api.port == 2


def test_every_setting_can_be_given_by_its_variable() -> None:
    samples = {
        "delivery": "at_least_once",
        "store.dsn": "postgresql://u@h/d",
        "clickhouse.dsn": "http://h:8123/d",
        "log.level": "debug",
        "log.format": "json",
        "kafka.extra": "socket.keepalive.enable=true",
        "judge.base_urls": '{"openai": "http://gateway/v1"}',
        "judge.allowed_hosts": "a, b",
        "secret_keys": KEY,
    }
    for name in samples:
        assert name in set(setting_names())
    settings = load_settings(environ={variable_name(name): value for name, value in samples.items()})
    assert settings.judge.allowed_hosts == ("a", "b")
    assert settings.judge.base_urls == {"openai": "http://gateway/v1"}
    assert settings.kafka.client_config(bootstrap_servers="x:1")["socket.keepalive.enable"] == "true"


def test_the_environment_writes_a_list_with_commas_or_as_json() -> None:
    name = "GAVEL_JUDGE__ALLOWED_HOSTS"
    for text in ("a.internal, 10.0.0.0/8", '["a.internal", "10.0.0.0/8"]'):
        assert load_settings(environ={name: text}).judge.allowed_hosts == ("a.internal", "10.0.0.0/8")
    assert "is not a JSON list" in problems({name: '["a.internal"'})[0]


def test_any_setting_can_come_from_a_file_and_one_line_end_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" with spaces \n")
    environ = {**SASL, "GAVEL_KAFKA__SASL_PASSWORD_FILE": str(tmp_path / "password")}
    del environ["GAVEL_KAFKA__SASL_PASSWORD"]
    password = load_settings(environ=environ).kafka.sasl_password
    assert password is not None
    assert password.get_secret_value() == " with spaces "


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\x00", b"x" * 1_048_577])
def test_a_secret_file_that_gives_no_secret_is_refused_by_its_variable(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    (problem,) = problems({"GAVEL_STORE__DSN_FILE": str(path)})
    assert problem.startswith("GAVEL_STORE__DSN_FILE: ")
    assert str(path) in problem


def test_a_folder_in_place_of_a_secret_file_is_refused(tmp_path: Path) -> None:
    assert "GAVEL_STORE__DSN_FILE" in problems({"GAVEL_STORE__DSN_FILE": str(tmp_path)})[0]


def test_value_and_file_of_one_setting_at_once_are_refused(tmp_path: Path) -> None:
    (problem,) = problems({"GAVEL_STORE__DSN": "sqlite:///x", "GAVEL_STORE__DSN_FILE": "/y"})
    assert "GAVEL_STORE__DSN is set too" in problem


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("GAVEL_KAFKA__BOOTSTRAP_SERVER", "GAVEL_KAFKA__BOOTSTRAP_SERVERS"),
        ("GAVEL_KAFKA_BOOTSTRAP_SERVERS", "GAVEL_KAFKA__BOOTSTRAP_SERVERS"),
        ("GAVEL_DELIVRY", "GAVEL_DELIVERY"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_setting(variable: str, nearest: str) -> None:
    assert problems({variable: "x"}) == (f"{variable}: is not a setting; did you mean {nearest}?",)


def test_all_unknown_variables_are_told_at_once() -> None:
    assert len(problems({"GAVEL_A": "", "GAVEL_B__C": ""})) == 2


@pytest.mark.parametrize(
    "variable",
    [
        "GAVEL_PORT",
        "GAVEL_PORT_9464_TCP",
        "GAVEL_PORT_9464_TCP_ADDR",
        "GAVEL_SERVICE_HOST",
        "GAVEL_SERVICE_PORT_METRICS",
        "GAVEL_API_SERVICE_HOST",
        "GAVEL_API_PORT_8000_TCP_PROTO",
        "GAVEL_TEST_KAFKA",
        "OTHER",
    ],
)
def test_what_kubernetes_puts_into_a_pod_for_a_service_is_no_setting(variable: str) -> None:
    assert load_settings(environ={variable: "tcp://10.0.0.1:9464"}).http.port == 9464


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kafak: {}", "kafak: is not a setting; did you mean kafka?"),
        ("kafka: {partition: 3}", "kafka.partition: is not a setting; did you mean kafka.partitions?"),
        ("kafka: {topics: {event: x}}", "kafka.topics.event: is not a setting; did you mean kafka.topics.events?"),
        ("kafka: 3", "kafka: "),
        ("kafka: {partitions: 0}", "kafka.partitions: input should be greater than or equal to 1"),
        ("kafka: {topics: {events: 'a b'}}", "kafka.topics.events: is not a Kafka topic name"),
        ("[1, 2]", "gavel.yaml: holds list"),
        ("a: [", "gavel.yaml:1:5: is not YAML"),
    ],
)
def test_a_wrong_settings_file_is_refused_with_the_place(text: str, expected: str) -> None:
    Path("gavel.yaml").write_text(text)
    assert problems()[0].startswith(expected)


def test_an_empty_settings_file_is_no_setting_at_all() -> None:
    Path("gavel.yaml").write_text("# nothing yet\n")
    assert load_settings(environ={}).kafka.is_embedded


def test_a_settings_file_that_is_not_there_or_not_text_or_huge_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in problems(path=tmp_path / "none.yaml")[0]
    (tmp_path / "b.yaml").write_bytes(b"\xff\xff")
    assert "is not UTF-8" in problems(path=tmp_path / "b.yaml")[0]
    (tmp_path / "c.yaml").write_bytes(b"#" * 1_048_577)
    assert "at most" in problems(path=tmp_path / "c.yaml")[0]


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({"GAVEL_KAFKA__EXTRA": "enable.auto.commit=true"}, "kafka.extra"),
        ({"GAVEL_KAFKA__EXTRA": '{"isolation.level": "read_uncommitted"}'}, "kafka.extra"),
        ({"GAVEL_KAFKA__EXTRA": "message.timeout.ms=900000"}, "kafka.extra"),
        ({"GAVEL_KAFKA__EXTRA": "nonsense"}, "kafka.extra"),
        ({"GAVEL_KAFKA__EXTRA": "{"}, "kafka.extra"),
        ({"GAVEL_KAFKA__MESSAGE_TIMEOUT_S": "60"}, "kafka.message_timeout_s"),
        ({"GAVEL_KAFKA__MESSAGE_TIMEOUT_S": "nan"}, "kafka.message_timeout_s"),
        (
            {"GAVEL_KAFKA__TRANSACTION_TIMEOUT_S": "901", "GAVEL_WATCHDOG__STALL_S": "2000"},
            "kafka.transaction_timeout_s",
        ),
        ({"GAVEL_KAFKA__SESSION_TIMEOUT_S": "301"}, "kafka.session_timeout_s"),
        ({"GAVEL_KAFKA__TOPICS__TASKS": "gavel_parked"}, "kafka.topics"),
        ({"GAVEL_KAFKA__BOOTSTRAP_SERVERS": ""}, "kafka.bootstrap_servers"),
        ({"GAVEL_KAFKA__BOOTSTRAP_SERVERS": "kafka://h:1"}, "kafka.bootstrap_servers"),
        ({"GAVEL_KAFKA__SECURITY_PROTOCOL": "SSL"}, "kafka.security_protocol"),
        ({"GAVEL_KAFKA__SASL_USERNAME": "me"}, "kafka.security_protocol"),
        ({**SASL, "GAVEL_KAFKA__SASL_PASSWORD": ""}, "kafka.sasl_password"),
        ({k: v for k, v in SASL.items() if "MECHANISM" not in k}, "kafka.sasl_mechanism"),
        ({**SASL, "GAVEL_KAFKA__SSL_CA_LOCATION": "/no/such/file"}, "kafka.ssl_ca_location"),
        ({**SASL, "GAVEL_KAFKA__SSL_KEY_LOCATION": "/dev/null"}, "kafka.ssl_certificate_location"),
        ({"GAVEL_KAFKA__SSL_CA_LOCATION": "/dev/null"}, "kafka.security_protocol"),
        ({"GAVEL_STORE__DSN": "mysql://u:hunter2@h/d"}, "store.dsn"),
        ({"GAVEL_STORE__DSN": "hunter2"}, "store.dsn"),
        ({"GAVEL_STORE__DSN": "sqlite://"}, "store.dsn"),
        ({"GAVEL_STORE__DSN": "sqlite:///:memory:"}, "store.dsn"),
        ({"GAVEL_STORE__DSN": "postgresql://h"}, "store.dsn"),
        ({"GAVEL_CLICKHOUSE__DSN": "chdb://memory"}, "clickhouse.dsn"),
        ({"GAVEL_CLICKHOUSE__DSN": "chdb://relative/path"}, "clickhouse.dsn"),
        ({"GAVEL_CLICKHOUSE__DSN": "hunter2"}, "clickhouse.dsn"),
        ({"GAVEL_SECRET_KEYS": f"{KEY},hunter2"}, "secret_keys"),
        ({"GAVEL_WATCHDOG__STALL_S": "180"}, "watchdog.stall_s"),
        ({"GAVEL_MATCHER__MAX_IN_FLIGHT_BYTES": "1000"}, "matcher.max_in_flight_bytes"),
        ({"GAVEL_SINK__BATCH_ROWS": "100001"}, "sink.batch_rows"),
        ({"GAVEL_JUDGE__CALL_DEADLINE_S": "181"}, "judge.call_deadline_s"),
        ({"GAVEL_JUDGE__READ_TIMEOUT_S": "91"}, "judge.read_timeout_s"),
        ({"GAVEL_MATCHER__COMMIT_INTERVAL_S": "60"}, "matcher.commit_interval_s"),
        ({"GAVEL_API__PORT": "9464"}, "api.port"),
        ({"GAVEL_INGEST__PORT": "8000"}, "ingest.port"),
        ({"GAVEL_API__PORT": "70000"}, "api.port"),
        ({"GAVEL_DEAD_LETTERS__RATIO_LIMIT": "0"}, "dead_letters.ratio_limit"),
    ],
)
def test_an_unsafe_combination_is_refused_by_name_with_a_remedy_and_without_the_secret(
    environ: dict[str, str], setting: str
) -> None:
    found = problems(environ)
    assert found[0].startswith(f"{setting}: ")
    assert "; " in found[0] or "kafka.extra" in found[0]
    assert "hunter2" not in "\n".join(found)


def test_a_long_transaction_timeout_is_fine_where_there_are_no_transactions() -> None:
    settings = load_settings(environ={"GAVEL_DELIVERY": "at_least_once", "GAVEL_KAFKA__MESSAGE_TIMEOUT_S": "120"})
    assert settings.kafka.message_timeout_s == 120


def test_client_config_is_what_librdkafka_takes_with_secrets_in_the_clear() -> None:
    from confluent_kafka import Producer

    environ = {**SASL, "GAVEL_KAFKA__EXTRA": "socket.keepalive.enable=true,ssl.keystore.password=s3cret"}
    settings = load_settings(environ=environ)
    options = settings.kafka.client_config(client_id="sink")
    assert options["sasl.password"] == "hunter2"
    assert options["ssl.keystore.password"] == "s3cret"
    assert options["client.id"] == "gavel-sink"
    Producer({**{k: v for k, v in options.items() if k != "ssl.keystore.password"}, "log_level": 0})
    assert "hunter2" not in repr(settings)
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in settings.model_dump_json()


def test_the_embedded_broker_has_no_address_until_it_runs() -> None:
    kafka = Settings().kafka
    with pytest.raises(ValueError, match="start the in-process broker"):
        kafka.client_config()
    assert kafka.client_config(bootstrap_servers="127.0.0.1:5")["bootstrap.servers"] == "127.0.0.1:5"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_alone_is_refused_on_the_embedded_broker(role: str) -> None:
    assert "embedded" in (refuse_roles(Settings(), [role]) or "")


def test_the_sink_alone_is_refused_on_chdb_and_allowed_on_a_server() -> None:
    kafka = {"bootstrap_servers": "h:1"}
    assert "chdb" in (refuse_roles(Settings(kafka=kafka), ["sink"]) or "")
    assert "chdb" in (refuse_roles(Settings(kafka=kafka), ["reports"]) or "")
    assert refuse_roles(Settings(kafka=kafka), ["judge"]) is None
    assert refuse_roles(Settings(kafka=kafka, clickhouse={"dsn": "http://h:8123"}), ["sink"]) is None
    assert refuse_roles(Settings(), ROLES) is None


def test_cautions_name_what_is_allowed_but_risky() -> None:
    environ = {**SASL, "GAVEL_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "GAVEL_DELIVERY": "at_least_once"}
    text = "\n".join(cautions(load_settings(environ=environ), ["sink"]))
    for name in ("kafka.security_protocol", "store.dsn", "delivery", "secret_keys"):
        assert f"{name}: " in text


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().kafka.partitions = 3  # the subject of the test


def test_config_show_tells_value_and_source_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgresql://u:hunter2@h:5432/d?sslpassword=hunter2&sslmode=require")
    Path("gavel.yaml").write_text("log: {level: debug}\nkafka: {extra: {ssl.key.pem: hunter2}}\n")
    environ = {
        **{k: v for k, v in SASL.items() if "EXTRA" not in k},
        "GAVEL_STORE__DSN_FILE": str(tmp_path / "dsn"),
        "GAVEL_SECRET_KEYS": KEY,
        "GAVEL_JUDGE__TRIAL_API_KEY": "hunter2",
        "GAVEL_JUDGE__BASE_URLS": "openai=https://u:hunter2@gateway/v1?api_key=hunter2",
    }
    rows = {row.name: row for row in describe_settings(environ=environ)}
    assert set(rows) == set(setting_names())
    assert rows["store.dsn"].value == "postgresql://u:***@h:5432/d?sslpassword=***&sslmode=require"
    assert rows["store.dsn"].source == "GAVEL_STORE__DSN_FILE"
    assert rows["log.level"].source == "gavel.yaml"
    assert rows["kafka.sasl_username"].source == "GAVEL_KAFKA__SASL_USERNAME"
    assert rows["api.port"].source == "default"
    text = str(rows)
    assert "hunter2" not in text
    assert KEY not in text


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://u:p%40ss@h/d", "postgresql://u:***@h/d"),
        ("http://u:p@ss@h:8123/d", "http://u:***@h:8123/d"),
        ("postgresql:///d?host=/tmp&password=x", "postgresql:///d?host=/tmp&password=***"),
        ("chdb:///data/clickhouse", "chdb:///data/clickhouse"),
        ("http://[bad", "***"),
    ],
)
def test_a_dsn_is_shown_without_its_password_wherever_it_stands(dsn: str, shown: str) -> None:
    assert redact_dsn(dsn) == shown
    assert SecretStr(dsn).get_secret_value() == dsn
