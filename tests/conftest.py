"""What all tests share: the S3 servers, real processes that the tests start and end themselves."""

import os

# Before numpy is imported: two test processes with as many threads each as there are cores wait for one another.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

pytest_plugins = ["tests.servers.s3", "tests.servers.guarded_s3"]
