"""The only way to an upstream: one call with its deadline, its answer classified and accounted."""
