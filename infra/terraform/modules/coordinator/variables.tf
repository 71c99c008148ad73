variable "name" {
  description = "Name of the function and of its schedule."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$", var.name))
    error_message = "1 to 50 letters, digits, _ and -."
  }
}

variable "image_uri" {
  description = "The image made from infra/docker/Dockerfile.lambda, in ECR of this region. Null: make the repository only, to push it to."
  type        = string
  default     = null

  validation {
    condition     = var.image_uri == null ? true : can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/.+[:@].+$", var.image_uri))
    error_message = "An image in ECR with its tag or digest, as in 111122223333.dkr.ecr.eu-west-1.amazonaws.com/hpo-pipe-coordinator:1."
  }
}

variable "create_repository" {
  description = "Make a repository for the image."
  type        = bool
  default     = true
}

variable "bucket" {
  description = "The study's bucket."
  type        = string
}

variable "study" {
  description = "The study's prefix, as in studies/first."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9._+=@-]+(/[A-Za-z0-9._+=@-]+)*$", var.study))
    error_message = "Letters, digits and ._+=@- with / between, without one at the beginning or end."
  }
}

variable "role_name" {
  description = "The coordinator's role: the output coordinator_role_name of the module iam. What the function needs besides is attached to it."
  type        = string
}

variable "every_minutes" {
  description = "Minutes between ticks of the schedule."
  type        = number
  default     = 1

  validation {
    condition     = var.every_minutes >= 1 && floor(var.every_minutes) == var.every_minutes
    error_message = "A whole number of at least 1."
  }
}

variable "tick_for_seconds" {
  description = "Seconds for which an invocation goes on ticking. 0: one tick."
  type        = number
  default     = 0

  validation {
    condition     = var.tick_for_seconds >= 0 && var.tick_for_seconds <= 840
    error_message = "0 to 840."
  }
}

variable "max_workers" {
  description = "Also keep as many workers as the study can use, at most so many, like those that were submitted last. Needs scaling = true of the module iam. Null: others start workers."
  type        = number
  default     = null

  validation {
    condition     = var.max_workers == null ? true : var.max_workers >= 0 && floor(var.max_workers) == var.max_workers
    error_message = "A whole number of at least 0, or null."
  }
}

variable "min_workers" {
  description = "With max_workers: at least so many while the study is under way."
  type        = number
  default     = 0

  validation {
    condition     = var.min_workers >= 0 && floor(var.min_workers) == var.min_workers
    error_message = "A whole number of at least 0."
  }
}

variable "on_events" {
  description = "Also tick when the bucket tells of new results, within batch_seconds. Needs events = true of the module storage."
  type        = bool
  default     = false
}

variable "batch_seconds" {
  description = "Seconds that events are gathered for one tick."
  type        = number
  default     = 10

  validation {
    condition     = var.batch_seconds >= 1 && var.batch_seconds <= 300
    error_message = "1 to 300."
  }
}

variable "memory_mb" {
  description = "Memory of the function, which sets its share of a processor, too."
  type        = number
  default     = 1769

  validation {
    condition     = var.memory_mb >= 512 && var.memory_mb <= 10240
    error_message = "512 to 10240."
  }
}

variable "timeout_seconds" {
  description = "The longest that an invocation takes."
  type        = number
  default     = 120

  validation {
    condition     = var.timeout_seconds >= 30 && var.timeout_seconds <= 900
    error_message = "30 to 900."
  }
}

variable "reserved_concurrency" {
  description = "Invocations at the same time, at most, taken from the account's. -1: no limit; any number may tick at once and be right."
  type        = number
  default     = -1

  validation {
    condition     = var.reserved_concurrency == -1 || var.reserved_concurrency >= 1
    error_message = "-1, or at least 1: with 0 the function never runs."
  }
}

variable "architecture" {
  description = "What the image was built for."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "x86_64 or arm64."
  }
}

variable "log_retention_days" {
  description = "Days that the function's log is kept."
  type        = number
  default     = 30
}

variable "tags" {
  description = "Tags of what is made."
  type        = map(string)
  default     = {}
}
