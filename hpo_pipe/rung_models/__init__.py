"""What the results at the rungs say: models that searchers propose by, and schedulers choose rungs by."""
