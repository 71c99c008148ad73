"""hpo-pipe: tuning through a folder or a bucket. Importing this costs nothing; see hpo_pipe.trial, hpo_pipe.study."""
