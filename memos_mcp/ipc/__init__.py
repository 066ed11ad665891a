"""How a bridge finds, starts and talks to the engine of a data folder. Standard library only, for a fast launch."""
