"""The nouns, the ports and the arithmetic: pure, no I/O, no clock, no await."""
