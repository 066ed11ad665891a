"""What git says of a folder: the files that it lists or ignores, work trees, and the history."""
