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

  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-west-1:111122223333:first-events" }
  }

  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-west-1:111122223333:function:first" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/first-schedule" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/first" }
  }

  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-west-1:111122223333:rule/first-written" }
  }
}

variables {
  name      = "first"
  bucket    = "trials"
  study     = "studies/first"
  role_name = "hpo-pipe-coordinator"
  image_uri = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/first:1"
}

run "a_tick_a_minute_and_nothing_is_tried_again" {
  command = apply

  assert {
    condition     = aws_scheduler_schedule.tick[0].schedule_expression == "rate(1 minute)" && aws_scheduler_schedule.tick[0].target[0].retry_policy[0].maximum_retry_attempts == 0
    error_message = "The next tick begins anew."
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.coordinator[0].maximum_retry_attempts == 0
    error_message = "Invocations are not repeated."
  }

  assert {
    condition     = aws_lambda_function.coordinator[0].package_type == "Image" && aws_lambda_function.coordinator[0].environment[0].variables.HPO_PIPE_STUDY == "s3://trials/studies/first"
    error_message = "The image is told its study."
  }

  assert {
    condition     = !contains(keys(aws_lambda_function.coordinator[0].environment[0].variables), "HPO_PIPE_MAX_WORKERS")
    error_message = "It starts no workers unless asked to."
  }

  assert {
    condition     = length(aws_lambda_event_source_mapping.events) == 0 && length(aws_cloudwatch_event_rule.written) == 0
    error_message = "Events only where asked."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.switch_off[0].policy).Statement[0].Resource == ["arn:aws:scheduler:eu-west-1:111122223333:schedule/default/first"]
    error_message = "It may switch off its own schedule, and no other."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.schedule[0].policy).Statement[0].Resource == ["arn:aws:lambda:eu-west-1:111122223333:function:first"]
    error_message = "The schedule may call its function, and no other."
  }

  assert {
    condition     = aws_cloudwatch_log_group.coordinator.retention_in_days == 30
    error_message = "Logs are not kept, and paid for, for ever."
  }
}

run "it_scales_where_it_is_told_how_far" {
  command = apply

  variables {
    max_workers      = 16
    min_workers      = 1
    tick_for_seconds = 100
  }

  assert {
    condition     = aws_lambda_function.coordinator[0].environment[0].variables.HPO_PIPE_MAX_WORKERS == "16" && aws_lambda_function.coordinator[0].environment[0].variables.HPO_PIPE_MIN_WORKERS == "1"
    error_message = "The function is told how many workers there may be."
  }

  assert {
    condition     = aws_lambda_function.coordinator[0].environment[0].variables.HPO_PIPE_STUDY == "s3://trials/studies/first"
    error_message = "And its study as before."
  }

  assert {
    condition     = aws_lambda_function.coordinator[0].timeout == 160 && aws_sqs_queue.events.visibility_timeout_seconds == 160
    error_message = "There is time for a round after the ticks."
  }
}

run "workers_that_are_no_number_are_refused" {
  command = plan

  variables {
    max_workers = 1.5
  }

  expect_failures = [var.max_workers]
}

run "events_come_in_batches_and_only_from_the_rule" {
  command = apply

  variables {
    on_events = true
  }

  assert {
    condition     = aws_lambda_event_source_mapping.events[0].maximum_batching_window_in_seconds == 10
    error_message = "Gathered for one tick."
  }

  assert {
    condition     = aws_sqs_queue.events.redrive_policy == null || !strcontains(coalesce(aws_sqs_queue.events.redrive_policy, "-"), "deadLetter")
    error_message = "No queue of what failed."
  }

  assert {
    condition     = aws_sqs_queue.events.visibility_timeout_seconds >= aws_lambda_function.coordinator[0].timeout
    error_message = "Lambda refuses a queue whose messages come back while it works."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_policy.events[0].policy).Statement[0].Condition.ArnEquals["aws:SourceArn"] == ["arn:aws:events:eu-west-1:111122223333:rule/first-written"]
    error_message = "Only the rule sends."
  }

  assert {
    condition     = contains([for key in jsondecode(aws_cloudwatch_event_rule.written[0].event_pattern).detail.object.key : key.prefix], "studies/first/metrics/")
    error_message = "New results are told."
  }
}

run "without_an_image_there_is_only_a_place_for_it" {
  command = plan

  variables {
    image_uri = null
    on_events = true
  }

  assert {
    condition     = length(aws_lambda_function.coordinator) + length(aws_scheduler_schedule.tick) + length(aws_cloudwatch_event_rule.written) == 0 && length(aws_ecr_repository.coordinator) == 1
    error_message = "Nothing runs before there is something to run."
  }

  assert {
    condition     = aws_ecr_repository.coordinator[0].image_tag_mutability == "IMMUTABLE"
    error_message = "An image stays what it was."
  }
}

run "an_image_from_elsewhere_is_refused" {
  command = plan

  variables {
    image_uri = "docker.io/library/python:3.12"
  }

  expect_failures = [var.image_uri]
}
