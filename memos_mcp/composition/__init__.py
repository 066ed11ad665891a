"""What the composition root is composed of: the choice of adapters by the settings."""
