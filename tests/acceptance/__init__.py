"""What a user may rely on, tried on real server processes."""
