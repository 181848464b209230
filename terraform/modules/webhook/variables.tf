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

variable "architecture" {
  description = "What the packages are compiled for: arm64 costs a fifth less, x86_64 is for builders without a cross compiler."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "Write arm64 or x86_64."
  }
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365], var.log_retention_days)
    error_message = "CloudWatch knows 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 and 365 days."
  }
}

variable "secrets_kms_key_arn" {
  description = "KMS key of the SecureString parameters. Null: the account's key `aws/ssm`, which needs no policy."
  type        = string
  default     = null
}

variable "package" {
  description = "Path of the zip file of the function webhook."
  type        = string
}

variable "configuration_parameter_name" {
  description = "Name of the configuration document: output of the module control-plane."
  type        = string
}

variable "configuration_parameter_arn" {
  description = "Its ARN."
  type        = string
}

variable "secret_parameter_arn" {
  description = "SecureString parameter with the secret that the forge signs with."
  type        = string
}

variable "wake_queue_arn" {
  description = "Queue that gets a wake for each delivery after which the state repository is to be looked at."
  type        = string
}

variable "forge_queue_arn" {
  description = "Queue that gets what is about pull requests and checks: output `forge_arn` of the module queues. Null: nobody is told."
  type        = string
  default     = null
}

variable "reserved_concurrency" {
  description = "Most runs at a time. A flood of deliveries takes no more of the account than this. Null for accounts whose whole concurrency is small: AWS refuses to leave fewer than 100 to the others."
  type        = number
  default     = 5

  validation {
    condition     = var.reserved_concurrency == null ? true : var.reserved_concurrency >= 1 && floor(var.reserved_concurrency) == var.reserved_concurrency
    error_message = "A whole number from 1, or null for no reservation. With 0, AWS would never start the function."
  }
}

variable "rate_limit" {
  description = "Deliveries a second beyond which the API answers 429 and starts no function."
  type        = number
  default     = 20

  validation {
    condition     = var.rate_limit >= 1
    error_message = "At least one a second."
  }
}

variable "burst_limit" {
  description = "Deliveries at once that are taken beyond the rate."
  type        = number
  default     = 50

  validation {
    condition     = var.burst_limit >= 1
    error_message = "At least one."
  }
}
