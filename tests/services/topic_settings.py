"""Changes of topics that tests make while a deployment runs."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.services.waiting import PATIENCE_S


def set_topic(kafka: str, topic: str, setting: str, value: int) -> None:
    """Change one setting of a topic, and block until the broker has taken it."""
    entry = ConfigEntry(setting, str(value), incremental_operation=AlterConfigOpType.SET)
    wanted = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka})  # its end would cancel the change
    for change in admin.incremental_alter_configs([wanted]).values():
        change.result(PATIENCE_S)
