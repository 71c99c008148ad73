"""What a search would have cost and found: the real decisions, under a virtual clock, on curves that are known."""
