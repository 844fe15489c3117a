"""The laws that every correct norm obeys. `LAWS` has them by name."""

from gnref.testing.properties import algebra, identities, oracles, sets, storage
from gnref.testing.properties.law import ENTERED, Law

ORDER = (oracles, algebra, sets, identities, storage)
LAWS: dict[str, Law] = {
    name: law for module in ORDER for name, law in ENTERED.items() if law.check.__module__ == module.__name__
}

__all__ = ["LAWS", "Law", "algebra", "identities", "oracles", "sets", "storage"]
