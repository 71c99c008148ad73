output "repository_url" {
  description = "Where the image is pushed to; null without a repository."
  value       = one(aws_ecr_repository.coordinator[*].repository_url)
}

output "function_name" {
  description = "The function; null until image_uri is given."
  value       = one(aws_lambda_function.coordinator[*].function_name)
}

output "schedule_name" {
  description = "The schedule; null until image_uri is given."
  value       = one(aws_scheduler_schedule.tick[*].name)
}

output "log_group_name" {
  description = "The function's log."
  value       = aws_cloudwatch_log_group.coordinator.name
}
