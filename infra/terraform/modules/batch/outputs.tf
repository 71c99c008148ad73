output "job_queue_arn" {
  description = "For --job-queue."
  value       = aws_batch_job_queue.this.arn
}

output "job_definition_arn" {
  description = "For --job-definition; null where no worker is given."
  value       = one(aws_batch_job_definition.worker[*].arn)
}

output "log_group_arn" {
  description = "Where workers' logs are."
  value       = aws_cloudwatch_log_group.workers.arn
}

output "log_group_name" {
  description = "Where workers' logs are."
  value       = aws_cloudwatch_log_group.workers.name
}

output "compute_environment_arns" {
  description = "The environments by kind."
  value       = { for kind, environment in aws_batch_compute_environment.this : kind => environment.arn }
}

output "instance_role_name" {
  description = "The machines' role, to attach further policies to."
  value       = aws_iam_role.instance.name
}
