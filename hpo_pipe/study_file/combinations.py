"""Algorithms that people know by one name: a scheduler and a searcher together, with what the name stands for."""

from __future__ import annotations

from collections.abc import Mapping

from storage_schema.codec import Json

AUTO = "auto"

COMBINATIONS: Mapping[str, Mapping[str, Json]] = {
    AUTO: {},
    "bohb": {"scheduler": "hyperband", "searcher": "kde"},
    "async_bohb": {"scheduler": "asha", "searcher": "kde"},
    "mobster": {"scheduler": "asha", "searcher": "gp"},
    "hyper_tune": {
        "scheduler": "d_asha",
        "searcher": "hyper_tune",
        "brackets": 3,
        "learn_brackets": True,
    },
    "smac": {"scheduler": "hyperband", "searcher": "forest"},
    "dehb": {"scheduler": "hyperband", "searcher": "differential_evolution"},
    "priorband": {"scheduler": "hyperband", "searcher": "priorband"},
}
"""Name to a table ``[algorithm]``; what it leaves open is the default: ``auto`` is all of the defaults.

BOHB: Falkner et al. 2018 (arXiv:1807.01774), and its asynchronous form; MOBSTER: Tiao et al. 2020 (arXiv:2003.10865);
Hyper-Tune: Li et al. 2022 (arXiv:2201.06834); SMAC's multi-fidelity form: Lindauer et al. 2022 (arXiv:2109.09831);
DEHB: Awad et al. 2021 (arXiv:2105.09821); PriorBand: Mallik et al. 2023 (arXiv:2306.12370).
"""
