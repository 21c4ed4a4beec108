"""The exam: what may be called a discovery, decided on sealed tasks and fresh seeds."""
