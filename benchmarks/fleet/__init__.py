"""The parts of a fleet for benchmarks: engines as processes, the index server that they share, and their clients."""
