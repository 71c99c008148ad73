"""What all tests share: the S3 servers, real processes that the tests start and end themselves."""

pytest_plugins = ["tests.servers.s3", "tests.servers.guarded_s3"]
