mock_provider "aws" {
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", arn = "arn:aws:ec2:eu-west-1:111122223333:launch-template/lt-0123456789abcdef0" }
  }

  mock_resource "aws_autoscaling_group" {
    defaults = { arn = "arn:aws:autoscaling:eu-west-1:111122223333:autoScalingGroup:1:autoScalingGroupName/hpo-pipe" }
  }
}

variables {
  image_id             = "ami-0123456789abcdef0"
  instance_profile_arn = "arn:aws:iam::111122223333:instance-profile/hpo-pipe-worker"
  user_data            = "#!/bin/sh\nhpo-pipe worker s3://trials/studies/first\nshutdown -h now\n"
  subnet_ids           = ["subnet-0123456789abcdef0"]
  security_group_ids   = ["sg-0123456789abcdef0"]
}

run "machines_end_themselves_and_metadata_asks_for_a_token" {
  command = plan

  assert {
    condition     = aws_launch_template.worker.instance_initiated_shutdown_behavior == "terminate"
    error_message = "A machine that shuts down is gone."
  }

  assert {
    condition     = aws_launch_template.worker.metadata_options[0].http_tokens == "required"
    error_message = "IMDSv2 only."
  }

  assert {
    condition     = aws_launch_template.worker.block_device_mappings[0].ebs[0].encrypted == "true" && aws_launch_template.worker.block_device_mappings[0].ebs[0].delete_on_termination == "true"
    error_message = "Disks are encrypted, and go with their machine."
  }

  assert {
    condition     = length(aws_autoscaling_group.workers) == 0
    error_message = "No group unless asked."
  }
}

run "a_group_is_empty_when_idle" {
  command = apply

  variables {
    group = { max_size = 8, worker_role_name = "hpo-pipe-worker" }
  }

  assert {
    condition     = aws_autoscaling_group.workers[0].min_size == 0 && aws_autoscaling_group.workers[0].desired_capacity == 0
    error_message = "No machine without work."
  }

  assert {
    condition     = aws_autoscaling_group.workers[0].mixed_instances_policy[0].instances_distribution[0].on_demand_base_capacity == 0 && aws_autoscaling_group.workers[0].mixed_instances_policy[0].instances_distribution[0].spot_allocation_strategy == "price-capacity-optimized"
    error_message = "Spot only."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.leave[0].policy).Statement[0].Action == ["autoscaling:TerminateInstanceInAutoScalingGroup"]
    error_message = "Workers leave their group."
  }
}

run "a_machine_that_never_ends_is_refused" {
  command = plan

  variables {
    user_data = "#!/bin/sh\nhpo-pipe worker s3://trials/studies/first\n"
  }

  expect_failures = [var.user_data]
}
