variable "name" {
  description = "Name of the queue, and beginning of all other names."
  type        = string
  default     = "hpo-pipe"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{2,59}$", var.name))
    error_message = "3 to 60 letters, digits, _ and -."
  }
}

variable "vpc_id" {
  description = "The network that the machines are in."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets, best one in each zone: the more zones, the more spot capacity. They need a way to S3, ECS, ECR and CloudWatch Logs."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "At least one subnet."
  }
}

variable "security_group_ids" {
  description = "Security groups of the machines. Empty: one is made that lets nothing in."
  type        = list(string)
  default     = []
}

variable "instance_types" {
  description = "Types or families of machines; several, so that spot capacity is found."
  type        = list(string)
  default     = ["g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge", "g5.2xlarge", "g6.xlarge", "g6.2xlarge"]

  validation {
    condition     = length(var.instance_types) > 0 && !contains(var.instance_types, "optimal")
    error_message = "At least one type, and not optimal, which has no GPU."
  }
}

variable "max_vcpus" {
  description = "vCPUs of all spot machines together, at most."
  type        = number
  default     = 64

  validation {
    condition     = var.max_vcpus >= 1 && floor(var.max_vcpus) == var.max_vcpus
    error_message = "A whole number of at least 1."
  }
}

variable "on_demand_max_vcpus" {
  description = "vCPUs of on-demand machines, at most, which are hired where there is no spot capacity. 0: never."
  type        = number
  default     = 0

  validation {
    condition     = var.on_demand_max_vcpus >= 0 && floor(var.on_demand_max_vcpus) == var.on_demand_max_vcpus
    error_message = "A whole number of at least 0."
  }
}

variable "service_role_arn" {
  description = "The role that AWS Batch hires machines with. Null: AWSServiceRoleForBatch, which AWS makes and keeps itself."
  type        = string
  default     = null
}

variable "image_type" {
  description = "Amazon's image of the machines, as in ECS_AL2023_NVIDIA. Null: what AWS Batch takes for the types."
  type        = string
  default     = null
}

variable "disk_gib" {
  description = "Disk of each machine, for images and checkpoints."
  type        = number
  default     = 100

  validation {
    condition     = var.disk_gib >= 30 && var.disk_gib <= 16384
    error_message = "30 to 16384 GiB."
  }
}

variable "stop_seconds" {
  description = "Seconds between a container's SIGTERM and its end: in them a trial saves its state."
  type        = number
  default     = 120

  validation {
    condition     = var.stop_seconds >= 30 && var.stop_seconds <= 120
    error_message = "30 to 120: a spot machine is gone 120 seconds after its notice."
  }
}

variable "runnable_seconds" {
  description = "Seconds after which a job that blocks the queue because no machine fits it is cancelled, with a reason."
  type        = number
  default     = 3600

  validation {
    condition     = var.runnable_seconds >= 600 && var.runnable_seconds <= 86400
    error_message = "600 to 86400."
  }
}

variable "log_retention_days" {
  description = "Days that the workers' logs are kept."
  type        = number
  default     = 30
}

variable "worker" {
  description = "A job definition for workers; null: launchers register their own. memory in MiB, a little under the machine's, or jobs wait forever."
  type = object({
    image          = string
    job_role_arn   = string
    gpus           = optional(number, 1)
    vcpus          = optional(number, 4)
    memory         = optional(number, 15000)
    shared_memory  = optional(number, 4096)
    attempts       = optional(number, 10)
    max_runtime_s  = optional(number, 604800)
    execution_role = optional(string)
  })
  default = null

  validation {
    condition     = var.worker == null ? true : var.worker.attempts >= 1 && var.worker.attempts <= 10 && var.worker.max_runtime_s >= 60
    error_message = "attempts is 1 to 10, and max_runtime_s at least 60."
  }
}

variable "tags" {
  description = "Tags of what is made, and of the machines."
  type        = map(string)
  default     = {}
}
