"""A real Apache Kafka in one process: KRaft, broker and controller combined, on free ports of loopback.

`python -m tests.services.kafka [--port N]` starts one, prints its address and stays until Ctrl-C.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.cache import cache_folder, locked
from tests.services.ports import accepts, free_ports
from tests.services.process import GuardedProcess, ServiceError
from tests.services.waiting import PATIENCE_S

POM = Path(__file__).with_name("kafka-pom.xml")
CLUSTER_ID = "Z2F2ZWwtdGVzdC1rYWZrYQ"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


def kafka_jars() -> Path:
    """Return the folder of the broker's jars, fetched with Maven the first time (about 45 MB)."""
    release = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    libs = cache_folder("kafka") / release
    with locked(cache_folder("kafka") / "fetch.lock"):
        if not libs.exists():
            _fetch_jars(libs)
    return libs


def kafka_classes() -> Path:
    """Return an archive of the classes that a broker loads, made once: with it one starts in half of the time.

    A JVM passes over an archive that is not its own, and over an empty file.
    """
    _java()
    archive = kafka_jars().with_suffix(".jsa")
    with locked(cache_folder("kafka") / "classes.lock"):
        if not archive.exists():
            _archive_classes(archive)
    return archive


def _archive_classes(archive: Path) -> None:
    partial = archive.with_suffix(".jsa-partial")
    server = KafkaServer()
    try:
        server.launch([*_SHORT_LIVED, f"-XX:ArchiveClassesAtExit={partial}"])
        server.wait_until_ready()
        server.stop()
    finally:
        server.close()
    partial.touch()  # if the JVM wrote no archive, it does not miss one
    partial.rename(archive)


def _fetch_jars(libs: Path) -> None:
    maven = _need("mvn", "maven")
    partial = libs.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    done = subprocess.run([*command, f"-DoutputDirectory={partial}"], check=False, capture_output=True, text=True)
    if done.returncode != 0 or not any(partial.glob("kafka_*.jar")):
        raise ServiceError(f"Maven could not fetch Apache Kafka (exit code {done.returncode}):\n{done.stdout[-3000:]}")
    partial.rename(libs)  # only whole folders get the name that is looked for


def _java() -> str:
    return _need("java", "openjdk-17-jre-headless")


def _need(command: str, package: str) -> str:
    path = shutil.which(command)
    if path is None:
        raise ServiceError(
            f"Tests run on a real Apache Kafka, and `{command}` is not installed: `apt-get install {package}`, "
            "or set GAVEL_TEST_KAFKA to the address of a Kafka 4 broker that tests may use."
        )
    return path


class KafkaServer:
    """One broker with a data folder and ports of its own, which it keeps over stop, kill and start.

    Args:
        port: of the client listener; None picks a free one.
        advertised_port: if given, the broker has a second listener, on `proxied_port`, that tells clients to
            come back to `advertised_port`: put a TcpProxy there, in front of `proxied_port`, and all of a
            client's traffic goes through the proxy when it bootstraps from it.
        node_id, controllers: of a broker in a cluster (`tests.services.kafka_cluster`): which it is, and the port
            of every broker's controller by node id.
        killed: whether a test kills or freezes the broker. Its controller gives such a broker up soon, because it may
            come back only then. Any other broker keeps its place on a machine that starves it of time.
        classic_groups_only: whether the broker has no groups of KIP-848, as before Kafka 4.
        quick_groups: whether groups notice a dead member within seconds; otherwise a broker's own defaults hold.
        users: passwords by name of those who may log in with SASL PLAIN on `secured_port`. ACLs limit them; on
            the other listeners everybody may do everything.
        short_lived: it begins quickly; else its code is compiled and its memory managed as for production.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        advertised_port: int | None = None,
        node_id: int = 1,
        controllers: Mapping[int, int] | None = None,
        killed: bool = False,
        classic_groups_only: bool = False,
        quick_groups: bool = True,
        users: Mapping[str, str] | None = None,
        short_lived: bool = True,
    ) -> None:
        client_port, controller_port, self.proxied_port, self.secured_port = free_ports(4)
        self.port = port or client_port
        self._node_id = node_id
        self._controllers = dict(controllers or {node_id: controller_port})
        self.advertised_port = advertised_port
        self._session_timeout_ms = 2_000 if killed else 60_000
        self._short_lived = short_lived
        self._quick_groups = quick_groups
        self._classic_groups_only = classic_groups_only
        self._users = dict(users or {})
        self.folder = Path(tempfile.mkdtemp(prefix="gavel-kafka-"))
        self._log = self.folder / "broker.log"
        self._properties = self.folder / "server.properties"
        self._process: GuardedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address, not through a proxy."""
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return self.bootstrap_servers

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        return self._running().pid

    def ended_by_itself(self) -> str | None:
        """Return the exit code and the end of the log of a broker that nobody stopped; None while it runs."""
        process = self._process
        return process.ending() if process is not None else None

    def start(self, *, wait: bool = True) -> None:
        """Start the broker on its ports and data; block until it serves clients, if `wait`. Raise ServiceError."""
        self.launch(
            [*_SHORT_LIVED, f"-XX:SharedArchiveFile={kafka_classes()}"] if self._short_lived else ["-XX:+UseG1GC"]
        )
        if wait:
            self.wait_until_ready()

    def launch(self, options: Sequence[str]) -> None:
        """Start the broker's process with `options` of the JVM. Raise ServiceError."""
        if self._process is not None:
            raise ServiceError("This broker runs already.")
        java, jars = _java(), kafka_jars()
        if not self._properties.exists():
            self._format(java, jars)
        heap = os.environ.get("GAVEL_TEST_KAFKA_HEAP", "512m")
        limits = [f"-Xmx{heap}", f"-Xms{heap}", *_CRASHES, "-Djava.awt.headless=true", *_LOGGING]
        self._process = GuardedProcess(
            [java, *limits, *options, "-cp", f"{jars}/*", "kafka.Kafka", self._properties],
            log=self._log,
            scratch=[self.folder],
        )

    def wait_until_ready(self) -> None:
        """Block until clients are served; raise ServiceError if that does not happen in time."""
        self._running().wait_until(self._serves_clients, "Apache Kafka")

    def stop(self) -> None:
        """Shut down in good order. Data and ports stay for the next start."""
        if self._process is not None:
            self._process.terminate()
            self._process = None

    def kill(self) -> None:
        """End the broker as `kill -9` does. Data and ports stay for the next start."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Stop in good order, start, and wait until clients are served."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the process without closing its connections: clients see a broker that hangs."""
        self._running().send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        self._running().send(signal.SIGCONT)

    def close(self) -> None:
        """End the broker for good and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> KafkaServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> GuardedProcess:
        if self._process is None:
            raise ServiceError("This broker does not run.")
        return self._process

    def _format(self, java: str, jars: Path) -> None:
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in self._settings().items()))
        quick = [*_SHORT_LIVED, f"-XX:SharedArchiveFile={jars.with_suffix('.jsa')}", "-Xmx128m", *_LOGGING]
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties)]
        done = subprocess.run(
            [java, *quick, "-cp", f"{jars}/*", *tool], check=False, capture_output=True, text=True, timeout=PATIENCE_S
        )
        if done.returncode != 0:
            self._properties.unlink()
            raise ServiceError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")

    def _serves_clients(self) -> bool:
        if not accepts(self.port):
            return False
        try:
            found = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0}).list_topics(timeout=2)
        except KafkaException:
            return False
        return bool(found.brokers)

    def _settings(self) -> dict[str, object]:
        listeners = {"CLIENT": self.port, "CONTROLLER": self._controllers[self._node_id]}
        advertised = {"CLIENT": self.port}
        if self.advertised_port is not None:
            listeners["PROXIED"] = self.proxied_port
            advertised["PROXIED"] = self.advertised_port
        if self._users:
            listeners["SECURED"] = advertised["SECURED"] = self.secured_port
        protocols = dict.fromkeys(listeners, "PLAINTEXT") | ({"SECURED": "SASL_PLAINTEXT"} if self._users else {})
        return {
            "process.roles": "broker,controller",
            "node.id": self._node_id,
            "controller.quorum.voters": ",".join(
                f"{node}@127.0.0.1:{port}" for node, port in self._controllers.items()
            ),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "listeners": _listeners(listeners),
            "advertised.listeners": _listeners(advertised),
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in protocols.items()),
            "log.dirs": self.folder / "data",
            **_BROKER_SETTINGS,
            **(_QUICK_GROUPS if self._quick_groups else {}),
            **({"group.coordinator.rebalance.protocols": "classic"} if self._classic_groups_only else {}),
            "broker.session.timeout.ms": self._session_timeout_ms,
            **_replication(len(self._controllers)),
            **(_secured(self._users) if self._users else {}),
        }


def _replication(brokers: int) -> dict[str, object]:
    """Every topic on all brokers; a write is acknowledged while one of them is away, if there are three."""
    topics = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    enough = max(1, brokers - 1)
    return {
        "default.replication.factor": brokers,
        "min.insync.replicas": enough,
        "transaction.state.log.min.isr": enough,
        "share.coordinator.state.topic.min.isr": enough,
        **{f"{topic}.replication.factor": brokers for topic in topics},
    }


def _secured(users: Mapping[str, str]) -> dict[str, object]:
    logins = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "listener.name.secured.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": f"{module} required {logins};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


def _listeners(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


_LOGGING = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]

_CRASHES = ["-XX:+ExitOnOutOfMemoryError", "-XX:ErrorFile=/dev/stdout"]
"""A broker that is out of memory ends and says so; the report of a crash of the JVM goes to its log."""

_SHORT_LIVED = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
"""Options of short processes, which end before better code would have paid for its compilation."""

_BROKER_SETTINGS: dict[str, object] = {
    "auto.create.topics.enable": "false",  # a topic that `gavel init` forgot must be seen
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
    # One broker with few threads and small tables, because it shares two cores with the code under test.
    "num.network.threads": 2,
    "num.io.threads": 4,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 1,
    "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
    "log.index.size.max.bytes": 256 * 1024,  # two files of this size are mapped into memory for each partition
    "log.segment.delete.delay.ms": 1000,  # the files of a removed topic are closed at once
    # Fault tests must see timeouts within seconds.
    "broker.heartbeat.interval.ms": 500,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
}

_QUICK_GROUPS: dict[str, object] = {
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "group.consumer.min.session.timeout.ms": 1000,
    "group.consumer.session.timeout.ms": 6000,
    "group.consumer.min.heartbeat.interval.ms": 200,
    "group.consumer.heartbeat.interval.ms": 500,
}


def main() -> None:
    """Run one broker until a signal."""
    parser = argparse.ArgumentParser(prog="python -m tests.services.kafka", description=__doc__)
    parser.add_argument("--port", type=int, help="of the listener for clients (default: a free one)")
    server = KafkaServer(port=parser.parse_args().port, short_lived=False)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with server:
        print(server.bootstrap_servers, flush=True)  # noqa: T201 - the address is this command's result
        ended.wait()


if __name__ == "__main__":
    main()
