output "study_url" {
  description = "For all commands of hpo-pipe."
  value       = module.storage.urls[var.study]
}

output "role_arn" {
  description = "For --role-arn."
  value       = module.iam.worker_role_arn
}

output "repository_url" {
  description = "Where the workers' image goes."
  value       = aws_ecr_repository.worker.repository_url
}

output "submitter_role_arn" {
  description = "The role to start workers with; null without submitters."
  value       = module.iam.submitter_role_arn
}
