variable "prefix" {
  description = "Begins the name of everything in this installation."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.prefix))
    error_message = "A prefix has 3 to 24 characters: a-z, 0-9 and `-`. It begins with a letter and does not end with `-`."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that gets every alarm: output `topic_arn` of the module observability."
  type        = string
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the table. Null: a key that AWS owns, without cost and without a policy of yours."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "DynamoDB refuses to delete the table while this is true. Terraform refuses too, whatever this says (`prevent_destroy`)."
  type        = bool
  default     = true
}

variable "max_read_units" {
  description = "Most read request units a second. Beyond it requests are throttled, and tried again. -1: no limit."
  type        = number
  default     = 4000

  validation {
    condition     = var.max_read_units == -1 || var.max_read_units >= 100
    error_message = "Below 100 units a second the sweep alone is throttled. Write at least 100, or -1 for no limit."
  }
}

variable "max_write_units" {
  description = "Most write request units a second. A transaction costs two for each kilobyte of each row. -1: no limit."
  type        = number
  default     = 2000

  validation {
    condition     = var.max_write_units == -1 || var.max_write_units >= 200
    error_message = "A change may touch 100 rows, which costs 200 units. Write at least 200, or -1 for no limit."
  }
}

variable "throttle_threshold" {
  description = "Throttled requests in five minutes beyond which the alarm rings."
  type        = number
  default     = 20

  validation {
    condition     = var.throttle_threshold >= 0
    error_message = "A threshold is not negative."
  }
}
