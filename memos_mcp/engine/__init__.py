"""The engine: the one process of a data folder that opens its stores and its model. It serves any number of clients."""
