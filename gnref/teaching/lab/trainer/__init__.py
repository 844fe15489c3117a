"""A small, explicit trainer: layers with their backward passes, networks, SGD, the loop over epochs."""
