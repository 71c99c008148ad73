"""hpo-pipe: hyper-parameter tuning through a bucket. Importing this costs nothing; see hpo_pipe.trial and hpo_pipe.study."""
