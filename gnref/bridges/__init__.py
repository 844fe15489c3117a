"""The norms as native citizens of other frameworks. Each is imported by its own name, and needs its extra."""
