variable "name" {
  description = "Beginning of all names."
  type        = string
  default     = "hpo-pipe"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{2,59}$", var.name))
    error_message = "3 to 60 letters, digits, _ and -."
  }
}

variable "image_id" {
  description = "The machines' image (AMI), or resolve:ssm:PARAMETER."
  type        = string

  validation {
    condition     = can(regex("^(ami-[0-9a-f]{8,17}|resolve:ssm:.+)$", var.image_id))
    error_message = "An AMI's id, or resolve:ssm: and a parameter."
  }
}

variable "instance_profile_arn" {
  description = "What the machines run as: the output worker_instance_profile_arn of the module iam."
  type        = string
}

variable "user_data" {
  description = "What a machine does when it starts, as text: file(\"infra/ec2/user-data.sh\") with its first lines changed, or a script of yours that starts the worker, and shuts the machine down behind it: that ends the machine, and what it costs. `hpo-pipe submit ec2` brings its own."
  type        = string

  validation {
    condition     = startswith(var.user_data, "#!") && length(var.user_data) <= 16384
    error_message = "A script of at most 16 KB, from #! on."
  }
  validation {
    condition     = can(regex("shutdown|poweroff", var.user_data))
    error_message = "The script never shuts the machine down: it would cost money for ever."
  }
}

variable "subnet_ids" {
  description = "Subnets, best one in each zone."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "At least one subnet."
  }
}

variable "security_group_ids" {
  description = "Security groups of the machines; nothing has to come in."
  type        = list(string)
}

variable "instance_types" {
  description = "Types of machines; the first is the template's own, all of them the group's."
  type        = list(string)
  default     = ["g5.xlarge", "g5.2xlarge", "g4dn.xlarge", "g6.xlarge"]

  validation {
    condition     = length(var.instance_types) > 0 && length(var.instance_types) <= 40
    error_message = "1 to 40 types."
  }
}

variable "disk_gib" {
  description = "Disk of each machine."
  type        = number
  default     = 100

  validation {
    condition     = var.disk_gib >= 8 && var.disk_gib <= 16384
    error_message = "8 to 16384 GiB."
  }
}

variable "root_device" {
  description = "Name of the image's root device."
  type        = string
  default     = "/dev/xvda"
}

variable "hop_limit" {
  description = "Network hops that the instance's metadata goes: 2 where the worker runs in a container with a network of its own."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2], var.hop_limit)
    error_message = "1 or 2."
  }
}

variable "group" {
  description = "An Auto Scaling group of spot machines. Null: none, launchers make instant fleets from the template. on_demand: how many are never spot."
  type = object({
    max_size           = number
    on_demand          = optional(number, 0)
    capacity_rebalance = optional(bool, false)
    worker_role_name   = string
  })
  default = null

  validation {
    condition     = var.group == null ? true : var.group.max_size >= 1 && var.group.on_demand >= 0 && var.group.on_demand <= var.group.max_size
    error_message = "max_size is at least 1, and on_demand is 0 to max_size."
  }
}

variable "tags" {
  description = "Tags of what is made, and of the machines."
  type        = map(string)
  default     = {}
}
