output "bucket" {
  description = "The bucket's name."
  value       = local.bucket
}

output "arn" {
  description = "The bucket's ARN."
  value       = "arn:${data.aws_partition.current.partition}:s3:::${local.bucket}"
}

output "policy" {
  description = "The bucket's policy; to be merged by hand where manage_policy is false."
  value       = local.policy
}

output "urls" {
  description = "The studies' URLs."
  value       = { for study in var.studies : study => "s3://${local.bucket}/${study}" }
}
