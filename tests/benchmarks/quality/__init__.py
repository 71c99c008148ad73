"""How good the search is, beside its peers, in one simulator and on real learning curves."""
