output "study_url" {
  description = "For all commands of hpo-pipe."
  value       = module.storage.urls[var.study]
}

output "job_queue_arn" {
  description = "For --job-queue."
  value       = module.batch.job_queue_arn
}

output "job_definition_arn" {
  description = "For --job-definition; null without worker_image."
  value       = module.batch.job_definition_arn
}

output "worker_role_arn" {
  description = "For --job-role-arn, where job definitions are registered by launchers."
  value       = module.iam.worker_role_arn
}

output "submitter_role_arn" {
  description = "The role to start workers with; null without submitters."
  value       = module.iam.submitter_role_arn
}

output "coordinator_repository_url" {
  description = "Where the coordinator's image goes."
  value       = module.coordinator.repository_url
}
