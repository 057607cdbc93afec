"""The published tables and the schools' profiles, as data."""

from muaudit.parametrizations.profile_file import get_profile
from muaudit.parametrizations.profiles import PROFILES, Profile
from muaudit.parametrizations.tables import INVARIANTS, TABLES, Invariants, Table, TableEntry, width_exponent

__all__ = [
    "INVARIANTS",
    "PROFILES",
    "TABLES",
    "Invariants",
    "Profile",
    "Table",
    "TableEntry",
    "get_profile",
    "width_exponent",
]
