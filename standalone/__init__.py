"""The stack on one machine: its environment, its processes and the demo run."""
