variable "name" {
  description = "Beginning of the names of all roles."
  type        = string
  default     = "hpo-pipe"

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,40}$", var.name))
    error_message = "1 to 40 letters, digits and +=,.@_-."
  }
}

variable "bucket" {
  description = "Name of the bucket."
  type        = string
}

variable "study" {
  description = "The study's prefix in the bucket, as in studies/first; empty for a study that fills the bucket."
  type        = string

  validation {
    condition     = var.study == "" || can(regex("^[A-Za-z0-9._+=@-]+(/[A-Za-z0-9._+=@-]+)*$", var.study))
    error_message = "Letters, digits and ._+=@- with / between, without one at the beginning or end."
  }
}

variable "study_name" {
  description = "The study's name, as its file has it: only jobs that are tagged with it may be ended. Null: the last part of its prefix."
  type        = string
  default     = null
}

variable "worker_services" {
  description = "What takes the worker's role: ecs-tasks (AWS Batch), sagemaker, ec2."
  type        = set(string)

  validation {
    condition     = length(var.worker_services) > 0 && length(setsubtract(var.worker_services, ["ecs-tasks", "sagemaker", "ec2"])) == 0
    error_message = "One or more of ecs-tasks, sagemaker and ec2."
  }
}

variable "with_ticks" {
  description = "Let workers run a coordinator's tick where none lives. Their role is then both roles together."
  type        = bool
  default     = false
}

variable "submitters" {
  description = "ARNs of who may take the submitter's role. Empty: no such role; attach the output submitter_policies to people."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.submitters : can(regex("^arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:[^*]+$", arn))])
    error_message = "ARNs of users or roles, without wildcards."
  }
}

variable "kms_key_arn" {
  description = "The key that the bucket encrypts with. Null: S3's own."
  type        = string
  default     = null
}

variable "secret_arns" {
  description = "Secrets that trials are given (Secrets Manager)."
  type        = list(string)
  default     = []
}

variable "parameter_arns" {
  description = "Parameters that trials are given (Systems Manager)."
  type        = list(string)
  default     = []
}

variable "repository_arns" {
  description = "Repositories of ECR that SageMaker and EC2 pull the worker's image from."
  type        = list(string)
  default     = []
}

variable "batch" {
  description = "Where AWS Batch starts workers. Without a job definition, definitions hpo-pipe-* may be registered."
  type = object({
    job_queue_arn      = string
    log_group_arn      = string
    job_definition_arn = optional(string)
  })
  default = null
}

variable "sagemaker" {
  description = "Let submitters start workers as SageMaker training jobs."
  type        = bool
  default     = false
}

variable "sagemaker_vpc" {
  description = "SageMaker runs workers in a network of one's own (--subnets), which takes further rights of the worker's role."
  type        = bool
  default     = false
}

variable "ec2" {
  description = "The launch template that submitters start EC2 workers from."
  type        = object({ launch_template_arn = string })
  default     = null
}

variable "scaling" {
  description = "Let the coordinator start workers, too."
  type        = bool
  default     = false
}

variable "prices" {
  description = "Let submitters, and a coordinator that scales, read prices."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of what is made."
  type        = map(string)
  default     = {}
}
