"""The kill test: hpo-pipe and its peers under the same signals, each as its documentation recommends."""
