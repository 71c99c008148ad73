variable "bucket" {
  description = "Name of the bucket that holds the studies."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket)) && !endswith(var.bucket, "--x-s3")
    error_message = "A general purpose bucket's name: 3 to 63 of a-z, 0-9, - and . (no directory bucket: those do not list in order)."
  }
}

variable "create_bucket" {
  description = "Make the bucket. False: it exists, and only the settings that manage_settings and manage_policy name are touched."
  type        = bool
  default     = true
}

variable "manage_policy" {
  description = "Set the bucket's policy, which replaces the one it has. Null: where the bucket is made here. See the output policy for one to merge by hand."
  type        = bool
  default     = null
}

variable "manage_settings" {
  description = "Set encryption, ownership, public access and lifecycle rules, which replaces those it has. Null: where the bucket is made here."
  type        = bool
  default     = null
}

variable "studies" {
  description = "Prefixes of the studies whose records nobody may write over or delete, as in [\"studies/first\"]. Take one out to delete that study."
  type        = list(string)

  validation {
    condition = length(distinct(var.studies)) == length(var.studies) && alltrue([
      for study in var.studies : can(regex("^[A-Za-z0-9._+=@-]+(/[A-Za-z0-9._+=@-]+)*$", study)) && length(study) <= 300
    ])
    error_message = "Each study once: letters, digits and ._+=@- with / between, without one at the beginning or end."
  }

  validation {
    condition     = length(var.studies) <= 16
    error_message = "At most 16 studies: a bucket's policy has at most 20 KB. Make a bucket for further ones."
  }
}

variable "additional_statements" {
  description = "Further statements of the bucket's policy, each as an object with Sid, Effect, Principal, Action, Resource."
  type        = any
  default     = []
}

variable "kms_key_arn" {
  description = "Encrypt with this key. Null: with S3's own (SSE-S3)."
  type        = string
  default     = null
}

variable "checkpoint_days" {
  description = "Days after which checkpoints of these studies are deleted. Longer than the study and its evaluation take. Null: never."
  type        = number
  default     = null

  validation {
    condition     = var.checkpoint_days == null ? true : var.checkpoint_days >= 7
    error_message = "At least 7 days: a paused trial goes on from its checkpoint."
  }
}

variable "worker_days" {
  description = "Days after which the last signs of life of workers are deleted. Null: never."
  type        = number
  default     = null

  validation {
    condition     = var.worker_days == null ? true : var.worker_days >= 7
    error_message = "At least 7 days."
  }
}

variable "events" {
  description = "Send the bucket's events to EventBridge, which a coordinator that runs on events needs."
  type        = bool
  default     = false
}

variable "force_destroy" {
  description = "Let terraform destroy delete the bucket with everything in it."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of what is made."
  type        = map(string)
  default     = {}
}
