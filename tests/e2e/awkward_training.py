"""Trials that misbehave, one way each, as their parameter says."""

from __future__ import annotations

import sys

from hpo_pipe.trial import current_trial

trial = current_trial()
match trial.params["way"]:
    case "good":
        trial.report(loss=0.5)
    case "nan":
        trial.report(loss=float("nan"))
    case "silent":
        print("I trained, and told nobody")
    case "crash":
        print("about to crash", flush=True)
        raise RuntimeError("out of memory, say")
    case "flood":
        for _ in range(100):
            sys.stdout.write("x" * 1023 + "\n" * 1 + ("y" * 1023 + "\n") * 1023)
        trial.report(loss=0.7)
