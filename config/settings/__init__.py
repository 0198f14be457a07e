"""The settings of Gavel (`Settings`), and their sources (`load_settings`)."""

from __future__ import annotations

from config.settings.kafka import Kafka, Topics
from config.settings.loading import SettingsError, load_settings
from config.settings.root import Settings
from config.settings.safety import ROLES, cautions, refuse_roles

__all__ = ["ROLES", "Kafka", "Settings", "SettingsError", "Topics", "cautions", "load_settings", "refuse_roles"]
