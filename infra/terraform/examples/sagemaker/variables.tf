variable "region" {
  description = "Region of everything."
  type        = string
  default     = "eu-west-1"
}

variable "name" {
  description = "Beginning of all names, and the repository's."
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

variable "submitters" {
  description = "ARNs of who may take the submitter's role."
  type        = list(string)
  default     = []
}
