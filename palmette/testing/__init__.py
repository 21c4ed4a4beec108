"""Contract kits: the tests that any new primitive, task or store has to pass. They need pytest."""
