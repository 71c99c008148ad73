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

  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::111122223333:instance-profile/machines" }
  }

  mock_resource "aws_batch_compute_environment" {
    defaults = { arn = "arn:aws:batch:eu-west-1:111122223333:compute-environment/machines" }
  }
}

variables {
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0"]
}

run "spot_machines_that_cost_nothing_when_idle" {
  command = plan

  assert {
    condition     = join(" ", keys(aws_batch_compute_environment.this)) == "spot"
    error_message = "Spot alone, unless asked otherwise."
  }

  assert {
    condition     = alltrue([for environment in aws_batch_compute_environment.this : environment.compute_resources[0].min_vcpus == 0])
    error_message = "min_vcpus has to be 0: anything else costs for ever."
  }

  assert {
    condition     = aws_batch_compute_environment.this["spot"].compute_resources[0].type == "SPOT" && aws_batch_compute_environment.this["spot"].compute_resources[0].allocation_strategy == "SPOT_PRICE_CAPACITY_OPTIMIZED"
    error_message = "Spot, where capacity lasts."
  }

  assert {
    condition     = aws_batch_compute_environment.this["spot"].compute_resources[0].bid_percentage == null && length(aws_batch_compute_environment.this["spot"].compute_resources[0].instance_type) > 1
    error_message = "No bid, and several types."
  }
}

run "metadata_asks_for_a_token_and_containers_get_their_grace" {
  command = plan

  assert {
    condition     = aws_launch_template.machine.metadata_options[0].http_tokens == "required" && aws_launch_template.machine.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "IMDSv2 only."
  }

  assert {
    condition     = strcontains(base64decode(aws_launch_template.machine.user_data), "ECS_CONTAINER_STOP_TIMEOUT=120s") && startswith(base64decode(aws_launch_template.machine.user_data), "MIME-Version: 1.0\n")
    error_message = "A trial has 120 s to save its state."
  }

  assert {
    condition     = aws_launch_template.machine.block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "Disks are encrypted."
  }

  assert {
    condition     = length(aws_security_group.workers) == 1 && length(aws_security_group.workers[0].egress) == 1
    error_message = "Nothing comes in."
  }
}

run "jobs_that_fit_no_machine_are_cancelled_with_a_reason" {
  command = plan

  assert {
    condition = (
      length(aws_batch_job_queue.this.job_state_time_limit_action) == 3
      && alltrue([for limit in aws_batch_job_queue.this.job_state_time_limit_action : limit.action == "CANCEL" && limit.state == "RUNNABLE" && limit.max_time_seconds == 3600])
    )
    error_message = "No job waits for ever."
  }

  assert {
    condition     = aws_cloudwatch_log_group.workers.retention_in_days == 30
    error_message = "Logs are not kept, and paid for, for ever."
  }
}

run "on_demand_comes_second_where_asked" {
  command = apply

  variables {
    on_demand_max_vcpus = 16
  }

  assert {
    condition     = [for place in aws_batch_job_queue.this.compute_environment_order : place.order] == [1, 2]
    error_message = "Two environments in order."
  }

  assert {
    condition     = aws_batch_compute_environment.this["on-demand"].compute_resources[0].type == "EC2" && aws_batch_compute_environment.this["on-demand"].compute_resources[0].min_vcpus == 0 && aws_batch_compute_environment.this["on-demand"].compute_resources[0].max_vcpus == 16
    error_message = "On-demand machines, bounded, none when idle."
  }

  assert {
    condition     = join(" ", local.order) == "spot on-demand"
    error_message = "Spot is first."
  }
}

run "what_is_interrupted_is_tried_again_and_nothing_else" {
  command = plan

  variables {
    worker = {
      image        = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/hpo-pipe:1"
      job_role_arn = "arn:aws:iam::111122223333:role/hpo-pipe-worker"
    }
  }

  assert {
    condition     = [for rule in aws_batch_job_definition.worker[0].retry_strategy[0].evaluate_on_exit : lower(rule.action)] == ["retry", "retry", "retry", "retry", "exit"]
    error_message = "What fits no rule is tried again: the last one has to end it."
  }

  assert {
    condition     = aws_batch_job_definition.worker[0].retry_strategy[0].evaluate_on_exit[3].on_exit_code == "75" && aws_batch_job_definition.worker[0].retry_strategy[0].evaluate_on_exit[4].on_reason == "*"
    error_message = "75 is a worker that was interrupted."
  }

  assert {
    condition     = startswith(aws_batch_job_definition.worker[0].name, "hpo-pipe-")
    error_message = "Definitions of ours have a name of ours."
  }
}

run "too_short_a_wait_is_refused" {
  command = plan

  variables {
    runnable_seconds = 60
  }

  expect_failures = [var.runnable_seconds]
}
