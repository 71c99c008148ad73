"""Who may do what: the one source of every policy document, for `submit policy`, Terraform and CloudFormation."""

from hpo_pipe.launch.iam.documents import MAX_MANAGED_POLICY, PARTITIONS, document, joined
from hpo_pipe.launch.iam.launching import LAUNCHED, launch_policy
from hpo_pipe.launch.iam.machines import (
    events_policy,
    invoke_policy,
    lambda_policy,
    machine_policy,
    scheduler_policy,
    trust_policy,
    vpc_policy,
)
from hpo_pipe.launch.iam.named import Named
from hpo_pipe.launch.iam.storage import (
    RECORDS,
    RIGHTS,
    SCALING,
    Rights,
    Role,
    bucket_policy,
    kms_statement,
    role_policy,
    tls_policy,
)

__all__ = [
    "LAUNCHED",
    "MAX_MANAGED_POLICY",
    "PARTITIONS",
    "RECORDS",
    "RIGHTS",
    "SCALING",
    "Named",
    "Rights",
    "Role",
    "bucket_policy",
    "document",
    "events_policy",
    "invoke_policy",
    "joined",
    "kms_statement",
    "lambda_policy",
    "launch_policy",
    "machine_policy",
    "role_policy",
    "scheduler_policy",
    "tls_policy",
    "trust_policy",
    "vpc_policy",
]
