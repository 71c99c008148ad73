output "worker_role_arn" {
  description = "For --role-arn (sagemaker), --job-role-arn (aws-batch)."
  value       = aws_iam_role.worker.arn
}

output "worker_role_name" {
  description = "The worker's role, to attach further policies to: what training reads besides the study."
  value       = aws_iam_role.worker.name
}

output "worker_instance_profile_arn" {
  description = "For EC2; null where worker_services has no ec2."
  value       = one(aws_iam_instance_profile.worker[*].arn)
}

output "coordinator_role_arn" {
  description = "For the coordinator's function."
  value       = aws_iam_role.coordinator.arn
}

output "coordinator_role_name" {
  description = "For the module coordinator, which attaches what its function needs."
  value       = aws_iam_role.coordinator.name
}

output "submitter_role_arn" {
  description = "The submitter's role; null where submitters is empty."
  value       = one(aws_iam_role.submitter[*].arn)
}

output "submitter_policies" {
  description = "The submitter's documents by name, to attach to people by other means."
  value       = local.submitter_policies
}
