variable "region" {
  description = "Region of everything."
  type        = string
  default     = "eu-west-1"
}

variable "name" {
  description = "Beginning of all names."
  type        = string
  default     = "hpo-pipe"
}

variable "owner" {
  description = "Who pays: the tag hpo-pipe:owner of everything."
  type        = string
  default     = "nobody"
}

variable "bucket" {
  description = "Name of the bucket to make."
  type        = string
}

variable "study" {
  description = "The study's prefix in the bucket."
  type        = string
  default     = "studies/first"
}

variable "vpc_id" {
  description = "The network that workers are in."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of it, with a way to S3, ECS, ECR and CloudWatch Logs."
  type        = list(string)
}

variable "max_vcpus" {
  description = "vCPUs of all spot machines, at most."
  type        = number
  default     = 64
}

variable "on_demand_max_vcpus" {
  description = "vCPUs of on-demand machines, at most, where there is no spot capacity."
  type        = number
  default     = 0
}

variable "submitters" {
  description = "ARNs of who may take the submitter's role."
  type        = list(string)
  default     = []
}

variable "worker_image" {
  description = "The workers' image. Null: launchers register job definitions of their own."
  type        = string
  default     = null
}

variable "coordinator_image" {
  description = "The coordinator's image in ECR. Null: only its repository is made."
  type        = string
  default     = null
}

variable "max_workers" {
  description = "Let the coordinator start workers, at most so many, like those of `hpo-pipe submit aws-batch ... --workers 0`. Null: it starts none."
  type        = number
  default     = null
}

variable "on_events" {
  description = "Let the coordinator tick also when results come in."
  type        = bool
  default     = false
}
