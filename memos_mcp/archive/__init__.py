"""The file of a backup: a zip archive of the record's tables and the loadout files, with a manifest."""
