"""The study file that ``hpo-pipe new`` writes: an example that runs through every key."""

from __future__ import annotations

from storage_schema.keys import checked_study_name

_TEMPLATE = """\
# A study: what is searched, how, and until when. `hpo-pipe run {file} ./{name}` runs it here;
# `hpo-pipe create {file} s3://bucket/{name}` creates it where many machines can work on it.

name = "{name}"                       # a-z, 0-9, and ._- ; 63 characters

# What is run for each piece of training, in the worker's folder. Never through a shell.
command = ["python", "train.py"]      # the script learns its parameters from hpo_pipe.trial, or from the command:
# command = "python train.py --lr {{lr}} --layers {{layers}}"
# command = ["python", "train.py", "{{args}}"]      # {{args}}: --lr=0.1 --layers=2 ...
# # also {{args_no_hyphens}} (lr=0.1 ...), {{args_json}}, {{envvar:HOME}}, and {{{{ and }}}} for braces
# function = "train:main"             # instead of a command: one warm process per slot, for trainings of seconds
# layout = "sagemaker"                # for a script written for SageMaker: its SM_* variables and /opt/ml files

# seed = 1                            # of all random draws; drawn at creation where it is missing

[metric]                              # what is searched for; more metrics: repeat as [[metric]], most important first
name = "val_loss"
goal = "minimize"                     # or "maximize"; a goal for further ones makes a search for the best trade-offs
# max = 100                           # results must stay within min and max; a metric without a goal may have them, too
# pattern = "val_loss: ([0-9.e+-]+)"  # for scripts that only print: one group, around the number

[parameters]
lr = {{ type = "float", min = 1e-4, max = 1e-1, log = true }}
dropout = {{ type = "float", min = 0.0, max = 0.5, step = 0.1 }}
layers = {{ type = "int", min = 1, max = 4 }}                       # log and step as for float
activation = {{ type = "categorical", values = ["relu", "tanh"] }}  # values without an order
batch_size = {{ type = "ordinal", values = [32, 64, 128] }}         # values in their order
nesterov = {{ type = "bool" }}
momentum = 0.9                                                    # a constant
# scale = "reverse-log" (towards 1) or "logit" (towards 0 and 1) instead of log = true; grid_points = 5 says how many
# values a grid search tries. Every parameter may also have when (it is there only then) and prior (where good values
# are thought to lie; confidence: low, medium, high, or 0 to 1), listed ones probabilities instead:
# beta2 = {{ type = "float", min = 0.9, max = 0.9999, scale = "reverse-log", when = {{ optimizer = "adam" }} }}
# width2 = {{ type = "int", min = 16, max = 512, log = true, when = {{ layers = {{ min = 2 }} }} }}
# decay = {{ type = "float", min = 1e-6, max = 1e-1, log = true, prior = {{ value = 1e-4, confidence = "medium" }} }}
# optimizer = {{ type = "categorical", values = ["sgd", "adam"], probabilities = [0.3, 0.7] }}

# [[forbidden]]                       # never tried: all of these together
# batch_size = 128
# layers = {{ min = 4 }}

[resource]                            # what training is paid in; leave it out if trials cannot be paused
name = "epoch"
min = 1                               # trials are compared after 1, 3, 9 and 27 epochs ...
max = 27
eta = 3                               # ... and the best third of each level trains on

[algorithm]
name = "auto"                         # or "bohb", "hyper_tune", ...; or choose both parts, and their options:
# scheduler = "asha"                  # who trains how far; "none": every trial trains to max
# searcher = "gp"                     # who proposes configurations; "random", "sobol", "tpe", "kde", ...
# brackets = 1                        # asha: start some trials at higher levels, where low ones mislead

[limits]                              # the study ends at the first one that is reached; 100 trials if none is set
trials = 100
# total_resource = 5000               # epochs of all trials together
# wall_time = "12h"                   # s, min, h, d
# gpu_hours = 50
# cost = 50                           # dollars of training; workers are to say what an hour of their machine costs
# target = 0.05                       # end when the metric is at least this good
# not_improving = 50                  # end when so many trials have come back without improving on the best one
# convergence = 0.01                  # end when the best results differ by 1 % of what results differ by

# [worker]
# retries = 2                         # how often a failed piece of training is tried again
# max_attempts = 50                   # interruptions included
# flush = "60s"                       # metrics and heartbeats reach the store this often (folder: 2 s)
# lease = "240s"                      # a worker that is silent for this long has lost its work (folder: 20 s)
# tick = "10s"                        # how often a coordinator looks (folder: 1 s)
# grace = "30s"                       # between asking a trial to stop and killing it

# [environment]
# OMP_NUM_THREADS = "1"

# [[enqueue]]                         # tried first; missing parameters are chosen by the searcher
# lr = 0.01
# layers = 2

# [warm_start]                        # what other studies found; they are read once, when this one is created
# studies = ["s3://bucket/studies/last-month"]      # 1 to 5; a plain path is a folder
# mode = "transfer"                   # or "identical": same data, space and metrics; their results count as this one's
# best_first = 1                      # how many best configurations of each are tried first
"""


def study_template(name: str, file: str = "study.toml") -> str:
    """Return a commented study file in TOML.

    Args:
        name: the study's name.
        file: what it will be called, for the commands in its comments.

    Raises:
        UserError: a name that studies must not have.
    """
    return _TEMPLATE.format(name=checked_study_name(name), file=file)
