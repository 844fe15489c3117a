"""The laws that every correct norm obeys. `LAWS` has them by name."""

from gnref.testing.properties import algebra, identities, oracles, sets, storage
from gnref.testing.properties.law import LAWS, Law

__all__ = ["LAWS", "Law", "algebra", "identities", "oracles", "sets", "storage"]
