"""The paper's experiments, a module each: see `gnref.teaching.lab.experiment`."""
