"""Models of the search: arrays in, arrays out. They know nothing of storage, trials or schedulers."""
