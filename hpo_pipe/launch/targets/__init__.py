"""One file per launch target."""
