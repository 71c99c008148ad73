data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  iam      = "${path.module}/../../../iam"
  place    = "${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}"
  function = var.image_uri == null ? 0 : 1
  events   = var.image_uri != null && var.on_events ? 1 : 0
  schedule = "arn:${data.aws_partition.current.partition}:scheduler:${local.place}:schedule/default/${var.name}"
  role_arn = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/${var.role_name}"

  # A round that scales comes after the ticks, and has a provider to wait for.
  timeout = max(var.timeout_seconds, var.tick_for_seconds + (var.max_workers == null ? 30 : 60))
  scaling = var.max_workers == null ? {} : {
    HPO_PIPE_MAX_WORKERS = tostring(var.max_workers)
    HPO_PIPE_MIN_WORKERS = tostring(var.min_workers)
  }
}

resource "aws_ecr_repository" "coordinator" {
  count = var.create_repository ? 1 : 0

  name                 = lower(var.name)
  image_tag_mutability = "IMMUTABLE"
  tags                 = var.tags

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_cloudwatch_log_group" "coordinator" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_lambda_function" "coordinator" {
  count = local.function

  function_name                  = var.name
  description                    = "Ticks the coordinator of s3://${var.bucket}/${var.study}"
  package_type                   = "Image"
  image_uri                      = var.image_uri
  architectures                  = [var.architecture]
  role                           = local.role_arn
  memory_size                    = var.memory_mb
  timeout                        = local.timeout
  reserved_concurrent_executions = var.reserved_concurrency
  tags                           = var.tags

  environment {
    variables = merge(local.scaling, {
      HPO_PIPE_STUDY    = "s3://${var.bucket}/${var.study}"
      HPO_PIPE_SCHEDULE = "default/${var.name}"
      HPO_PIPE_TICK_FOR = tostring(var.tick_for_seconds)
    })
  }

  depends_on = [aws_cloudwatch_log_group.coordinator, aws_iam_role_policy.function]
}

# The next tick begins anew, so that nothing is tried again and nothing is kept.
resource "aws_lambda_function_event_invoke_config" "coordinator" {
  count = local.function

  function_name                = aws_lambda_function.coordinator[0].function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

resource "aws_iam_role_policy" "function" {
  name = "function-${var.name}"
  role = var.role_name
  policy = templatefile("${local.iam}/lambda.json.tmpl", {
    log_group_arn   = aws_cloudwatch_log_group.coordinator.arn
    event_queue_arn = aws_sqs_queue.events.arn
  })
}

resource "aws_iam_role_policy" "switch_off" {
  count = local.function

  name = "schedule-${var.name}"
  role = var.role_name
  policy = templatefile("${local.iam}/schedule.json.tmpl", {
    schedule_arn      = local.schedule
    schedule_role_arn = aws_iam_role.schedule[0].arn
  })
}

resource "aws_iam_role" "schedule" {
  count = local.function

  name        = "${var.name}-schedule"
  description = "Calls the function ${var.name}"
  tags        = var.tags

  assume_role_policy = templatefile("${local.iam}/trust-for-account.json.tmpl", {
    service = "scheduler.amazonaws.com"
    account = data.aws_caller_identity.current.account_id
  })
}

resource "aws_iam_role_policy" "schedule" {
  count = local.function

  name = "call"
  role = aws_iam_role.schedule[0].id
  policy = templatefile("${local.iam}/schedule-calls.json.tmpl", {
    function_arn = aws_lambda_function.coordinator[0].arn
  })
}

resource "aws_scheduler_schedule" "tick" {
  count = local.function

  name                = var.name
  group_name          = "default"
  description         = "Switched off by the function when the study has ended"
  schedule_expression = var.every_minutes == 1 ? "rate(1 minute)" : "rate(${var.every_minutes} minutes)"
  state               = "ENABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.coordinator[0].arn
    role_arn = aws_iam_role.schedule[0].arn

    retry_policy {
      maximum_event_age_in_seconds = 60
      maximum_retry_attempts       = 0
    }
  }

  lifecycle {
    ignore_changes = [state]
  }
}

# Events only make the next tick come sooner: what is lost, the schedule sees a minute later.
resource "aws_sqs_queue" "events" {
  name                       = "${var.name}-events"
  message_retention_seconds  = 300
  visibility_timeout_seconds = local.timeout
  sqs_managed_sse_enabled    = true
  tags                       = var.tags
}

resource "aws_cloudwatch_event_rule" "written" {
  count = local.events

  name        = "${var.name}-written"
  description = "New records and results of s3://${var.bucket}/${var.study}"
  tags        = var.tags

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = { name = [var.bucket] }
      object = { key = [for part in ["study.json", "log/", "chain/", "metrics/"] : { prefix = "${var.study}/${part}" }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  count = local.events

  rule = aws_cloudwatch_event_rule.written[0].name
  arn  = aws_sqs_queue.events.arn
}

resource "aws_sqs_queue_policy" "events" {
  count = local.events

  queue_url = aws_sqs_queue.events.id
  policy = templatefile("${local.iam}/events.json.tmpl", {
    event_queue_arn = aws_sqs_queue.events.arn
    rule_arn        = aws_cloudwatch_event_rule.written[0].arn
  })
}

resource "aws_lambda_event_source_mapping" "events" {
  count = local.events

  event_source_arn                   = aws_sqs_queue.events.arn
  function_name                      = aws_lambda_function.coordinator[0].arn
  batch_size                         = 1000
  maximum_batching_window_in_seconds = var.batch_seconds

  scaling_config {
    maximum_concurrency = 2
  }

  depends_on = [aws_iam_role_policy.function]
}
