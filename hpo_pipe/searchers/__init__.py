"""Searchers: who proposes configurations. Adding one means one file, and one line in :data:`SEARCHERS`."""

from __future__ import annotations

from typing import Any

from hpo_pipe.registry import find, named, options_of
from hpo_pipe.searchers.auto import AutoSearcher
from hpo_pipe.searchers.cma_es import CmaEsSearcher
from hpo_pipe.searchers.differential_evolution import DifferentialEvolutionSearcher
from hpo_pipe.searchers.evolution import EvolutionSearcher
from hpo_pipe.searchers.forest import ForestSearcher
from hpo_pipe.searchers.freeze_thaw import FreezeThawSearcher
from hpo_pipe.searchers.gp import GpSearcher
from hpo_pipe.searchers.grid import GridSearcher
from hpo_pipe.searchers.halton import HaltonSearcher
from hpo_pipe.searchers.hyper_tune import HyperTuneSearcher
from hpo_pipe.searchers.kde import KdeSearcher
from hpo_pipe.searchers.priorband import PriorBandSearcher
from hpo_pipe.searchers.random_search import RandomSearcher
from hpo_pipe.searchers.rgpe import RgpeSearcher
from hpo_pipe.searchers.sobol import SobolSearcher
from hpo_pipe.searchers.tpe import TpeSearcher
from hpo_pipe.space import Space
from hpo_pipe.view import Searcher
from storage_schema.records import Study

SEARCHERS: dict[str, type[Any]] = {
    "auto": AutoSearcher,
    "random": RandomSearcher,
    "grid": GridSearcher,
    "sobol": SobolSearcher,
    "halton": HaltonSearcher,
    "tpe": TpeSearcher,
    "kde": KdeSearcher,
    "gp": GpSearcher,
    "forest": ForestSearcher,
    "hyper_tune": HyperTuneSearcher,
    "rgpe": RgpeSearcher,
    "freeze_thaw": FreezeThawSearcher,
    "cma_es": CmaEsSearcher,
    "evolution": EvolutionSearcher,
    "differential_evolution": DifferentialEvolutionSearcher,
    "priorband": PriorBandSearcher,
}
"""Name to class; called with its ``Options`` and the space. Others come in as entry points ``hpo_pipe.searchers``.

A class with ``finite = True`` comes to an end by itself: its studies need no limit. A class that does not cope with all
spaces says so: ``copes_with_conditions = False`` and ``copes_with_forbidden = False`` are refused at creation where
there are any, ``uses_priors = False`` is noted; a static ``check_space(space)`` may raise Refused.
"""

GROUP = "hpo_pipe.searchers"

__all__ = ["GROUP", "SEARCHERS", "searcher_of"]


def searcher_of(study: Study, space: Space) -> Searcher:
    """Return the searcher that a study names.

    Raises:
        StudyFileError: no such searcher here, or options that it does not take.
    """
    given = named(study.searcher, "study.json", "searcher")
    algorithm = find(GROUP, SEARCHERS, given["name"], "study.json", "searcher.name")
    searcher: Searcher = algorithm(options_of(algorithm, given, "study.json", "searcher"), space)
    return searcher
