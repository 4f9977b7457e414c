"""Stand-ins for systems that tests cannot reach."""
