output "launch_template_id" {
  description = "For --launch-template."
  value       = aws_launch_template.worker.id
}

output "launch_template_arn" {
  description = "For the module iam: what submitters may start."
  value       = aws_launch_template.worker.arn
}

output "auto_scaling_group_name" {
  description = "The group; null where there is none."
  value       = one(aws_autoscaling_group.workers[*].name)
}
