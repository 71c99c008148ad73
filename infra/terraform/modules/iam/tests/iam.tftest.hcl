mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
}

variables {
  bucket          = "trials"
  study           = "studies/first"
  worker_services = ["ecs-tasks"]
}

run "a_worker_creates_once_and_decides_nothing" {
  command = plan

  assert {
    condition = length([
      for statement in jsondecode(aws_iam_role_policy.worker["store"].policy).Statement : statement
      if statement.Effect == "Allow" && contains(statement.Action, "s3:PutObject")
      && anytrue([for resource in statement.Resource : endswith(resource, "/log/*") || endswith(resource, "/study.json")])
    ]) == 0
    error_message = "A worker must not write decisions."
  }

  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.worker["store"].policy).Statement : statement.Condition
      if contains(try(statement.Resource, []), "arn:aws:s3:::trials/studies/first/chain/*") && contains(statement.Action, "s3:PutObject")
    ] == [{ Null = { "s3:if-none-match" = "false" } }]
    error_message = "A claim is created once, or not at all."
  }

  assert {
    condition     = alltrue([for document in values(aws_iam_role_policy.worker) : !strcontains(document.policy, "\"s3:*\"") && !strcontains(document.policy, "\"*\"")])
    error_message = "Nothing for everything."
  }

  assert {
    condition     = jsondecode(aws_iam_role.worker.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "111122223333"
    error_message = "Other accounts' jobs must not take the worker's role."
  }

  assert {
    condition     = length(aws_iam_instance_profile.worker) == 0 && length(aws_iam_role.submitter) == 0
    error_message = "Nothing that nobody asked for."
  }
}

run "a_worker_has_the_secrets_that_are_named_and_no_others" {
  command = plan

  variables {
    worker_services = ["sagemaker", "ec2"]
    secret_arns     = ["arn:aws:secretsmanager:eu-west-1:111122223333:secret:wandb-AbCdEf"]
    kms_key_arn     = "arn:aws:kms:eu-west-1:111122223333:key/1"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.worker["secrets"].policy).Statement[0].Resource == ["arn:aws:secretsmanager:eu-west-1:111122223333:secret:wandb-AbCdEf"]
    error_message = "Exactly the secret."
  }

  assert {
    condition     = strcontains(aws_iam_role_policy.worker["store"].policy, "s3.eu-west-1.amazonaws.com") && strcontains(aws_iam_role_policy.coordinator["store"].policy, "key/1")
    error_message = "The bucket's key is used through S3."
  }

  assert {
    condition     = length(aws_iam_instance_profile.worker) == 1 && contains(keys(aws_iam_role_policy.worker), "sagemaker-logs")
    error_message = "EC2 needs a profile, and SageMaker writes its log as the worker."
  }
}

run "submitters_pass_the_workers_role_and_end_what_is_theirs" {
  command = plan

  variables {
    submitters = ["arn:aws:iam::111122223333:user/ada"]
    sagemaker  = true
    batch = {
      job_queue_arn = "arn:aws:batch:eu-west-1:111122223333:job-queue/gpus"
      log_group_arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/hpo-pipe/gpus"
    }
    ec2 = { launch_template_arn = "arn:aws:ec2:eu-west-1:111122223333:launch-template/lt-0123456789abcdef0" }
  }

  assert {
    condition = alltrue(flatten([
      for document in values(aws_iam_role_policy.submitter) : [
        for statement in jsondecode(document.policy).Statement : statement.Resource == ["arn:aws:iam::111122223333:role/hpo-pipe-worker"]
        if contains(statement.Action, "iam:PassRole")
      ]
    ]))
    error_message = "No other role may be passed."
  }

  assert {
    condition = alltrue(flatten([
      for document in values(aws_iam_role_policy.submitter) : [
        for statement in jsondecode(document.policy).Statement : statement.Condition.StringEquals["aws:ResourceTag/hpo-pipe:study"] == "first"
        if contains(statement.Action, "batch:TerminateJob") || contains(statement.Action, "ec2:TerminateInstances") || contains(statement.Action, "sagemaker:StopTrainingJob")
      ]
    ]))
    error_message = "Jobs of others must not be ended."
  }

  assert {
    condition     = join(" ", keys(aws_iam_role_policy.submitter)) == "launch-aws-batch launch-ec2 launch-sagemaker prices store"
    error_message = "One document for each target."
  }

  assert {
    condition     = join(" ", keys(aws_iam_role_policy.coordinator)) == "store"
    error_message = "A coordinator that does not scale starts nothing."
  }
}

run "a_coordinator_scales_where_asked" {
  command = plan

  variables {
    scaling   = true
    sagemaker = true
  }

  assert {
    condition     = contains(keys(aws_iam_role_policy.coordinator), "launch-sagemaker") && strcontains(aws_iam_role_policy.coordinator["store"].policy, "submissions/*")
    error_message = "It records what it starts, and starts it."
  }
}

run "an_unknown_service_is_refused" {
  command = plan

  variables {
    worker_services = ["lambda"]
  }

  expect_failures = [var.worker_services]
}
