"""The training side: claims specs, runs trials, and closes their chains."""
