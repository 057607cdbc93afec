"""`[tool.muaudit]` and `muaudit.yaml`: found, checked key by key, and turned into settings. Free of torch."""

from muaudit.settings.load import Configured, Settings, load_settings

__all__ = ["Configured", "Settings", "load_settings"]
