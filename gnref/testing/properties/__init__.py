"""The properties that every correct norm obeys. `PROPERTIES` has them by name."""

from gnref.testing.properties import (
    algebra,
    derivatives,
    edges,
    exactness,
    grades,
    identities,
    oracles,
    sets,
    storage,
)
from gnref.testing.properties.property import ENTERED, Property

ORDER = (oracles, derivatives, exactness, grades, algebra, sets, identities, storage, edges)
PROPERTIES: dict[str, Property] = {
    name: entered
    for module in ORDER
    for name, entered in ENTERED.items()
    if entered.check.__module__ == module.__name__
}

__all__ = [
    "PROPERTIES",
    "Property",
    "algebra",
    "derivatives",
    "edges",
    "exactness",
    "grades",
    "identities",
    "oracles",
    "sets",
    "storage",
]
