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

variable "name" {
  description = "Name of the function, after the prefix."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z-]{1,30}$", var.name))
    error_message = "A name has a-z and `-`."
  }
}

variable "description" {
  description = "What it does, in one sentence."
  type        = string
}

variable "package" {
  description = "Path of the zip file with the program `bootstrap`."
  type        = string

  validation {
    condition     = fileexists(var.package)
    error_message = "The package is not there. Build the functions first, and say where they are with `packages_directory`."
  }
}

variable "memory_megabytes" {
  description = "Memory, which buys processor time too."
  type        = number
  default     = 128

  validation {
    condition     = var.memory_megabytes >= 128 && var.memory_megabytes <= 1024
    error_message = "Between 128 and 1024: the functions wait for others most of the time."
  }
}

variable "timeout_seconds" {
  description = "Longest run."
  type        = number
  default     = 30

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 900
    error_message = "Between 1 and the 900 seconds of Lambda."
  }
}

variable "reserved_concurrency" {
  description = "Most runs at a time, taken from the account's. Null: as many as the account has left."
  type        = number
  default     = null
}

variable "configuration_parameter_name" {
  description = "Name of the SSM parameter with the one configuration document; the function's one environment variable."
  type        = string
}

variable "configuration_parameter_arn" {
  description = "Its ARN."
  type        = string
}

variable "secret_parameter_arns" {
  description = "SecureString parameters that this function reads."
  type        = list(string)
  default     = []
}

variable "statements" {
  description = "What the function may do beside writing its log and reading its configuration."
  type = list(object({
    sid        = string
    actions    = list(string)
    resources  = list(string)
    conditions = optional(map(map(list(string))), {})
  }))
  default = []

  validation {
    condition     = alltrue(flatten([for statement in var.statements : [for action in statement.actions : can(regex("^[a-z0-9]+:[A-Za-z]+$", action))]]))
    error_message = "Name each action: no `*`."
  }
}

variable "throttle_threshold" {
  description = "Starts in five minutes that were turned away, beyond which the alarm rings, when it happens twice in a quarter of an hour. Null: no alarm, for a function that runs once at a time on purpose."
  type        = number
  default     = 10

  validation {
    condition     = var.throttle_threshold == null ? true : var.throttle_threshold >= 0
    error_message = "A threshold is not negative."
  }
}

variable "error_threshold" {
  description = "Failed runs in five minutes beyond which the alarm rings, when it happens twice in a quarter of an hour."
  type        = number
  default     = 3

  validation {
    condition     = var.error_threshold >= 0
    error_message = "A threshold is not negative."
  }
}
