resource "aws_batch_job_definition" "worker" {
  count = var.worker == null ? 0 : 1

  name                  = "hpo-pipe-${var.name}"
  type                  = "container"
  platform_capabilities = ["EC2"]
  propagate_tags        = true
  tags                  = var.tags

  container_properties = jsonencode({
    image            = var.worker.image
    jobRoleArn       = var.worker.job_role_arn
    executionRoleArn = var.worker.execution_role
    resourceRequirements = concat(
      [
        { type = "VCPU", value = tostring(var.worker.vcpus) },
        { type = "MEMORY", value = tostring(var.worker.memory) },
      ],
      var.worker.gpus == 0 ? [] : [{ type = "GPU", value = tostring(var.worker.gpus) }],
    )
    # PyTorch's data loaders meet in shared memory; the first process reaps what trials leave behind.
    linuxParameters = { sharedMemorySize = var.worker.shared_memory, initProcessEnabled = true }
    environment     = [{ name = "HPO_PIPE_PROVIDER", value = "aws-batch" }, { name = "HPO_PIPE_REGION", value = data.aws_region.current.name }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.workers.name
        "awslogs-region"        = data.aws_region.current.name
        "awslogs-stream-prefix" = "worker"
      }
    }
  })

  timeout {
    attempt_duration_seconds = var.worker.max_runtime_s
  }

  # Tried in order; what fits none is tried again, so the last one ends everything else. 75: a worker that was interrupted.
  retry_strategy {
    attempts = var.worker.attempts

    evaluate_on_exit {
      action           = "RETRY"
      on_status_reason = "Host EC2*"
    }

    evaluate_on_exit {
      action    = "RETRY"
      on_reason = "CannotPullContainerError*"
    }

    evaluate_on_exit {
      action           = "RETRY"
      on_status_reason = "Task failed to start*"
    }

    evaluate_on_exit {
      action       = "RETRY"
      on_exit_code = "75"
    }

    evaluate_on_exit {
      action    = "EXIT"
      on_reason = "*"
    }
  }
}
