variable "prefix" {
  description = "Begins the name of everything in this installation."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.prefix))
    error_message = "A prefix has 3 to 24 characters: a-z, 0-9 and `-`. It begins with a letter and does not end with `-`."
  }
}

variable "account_id" {
  description = "Account of the installation: the bucket's notifications are taken from it alone."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account has 12 digits."
  }
}

variable "bucket_arn" {
  description = "ARN of the artifact bucket, which tells the queue `results` of new result manifests."
  type        = string
}

variable "alarm_topic_arn" {
  description = "SNS topic that gets every alarm: output `topic_arn` of the module observability."
  type        = string
}

variable "rpm_architectures" {
  description = "Architectures of the RPM platforms, in rpm's spelling: x86_64, aarch64, ppc64le."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arch in var.rpm_architectures : can(regex("^[a-z][a-z0-9_-]*$", arch)) && !contains(["noarch", "all", "any", "src", "source", "nosrc", "amd64", "arm64", "ppc64el"], arch)])
    error_message = "Write architectures as rpm does: x86_64, aarch64, ppc64le."
  }
}

variable "deb_architectures" {
  description = "Architectures of the Debian platforms, in dpkg's spelling: amd64, arm64, ppc64el."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arch in var.deb_architectures : can(regex("^[a-z][a-z0-9_-]*$", arch)) && !contains(["noarch", "all", "any", "src", "source", "nosrc", "x86_64", "aarch64", "ppc64le"], arch)])
    error_message = "Write architectures as dpkg does: amd64, arm64, ppc64el."
  }
}

variable "has_forge" {
  description = "Whether the state repository is on a forge, which has a queue of its own: `forge`."
  type        = bool
  default     = false
}

variable "function_visibility_seconds" {
  description = "How long a message that a function has is hidden, and so the time until one that failed is tried again: at least the 300 seconds that a function may run."
  type        = number
  default     = 360

  validation {
    condition     = var.function_visibility_seconds >= 300 && var.function_visibility_seconds <= 43200
    error_message = "Between the 300 seconds of a function and the 12 hours of SQS."
  }
}

variable "work_receives" {
  description = "Receives after which a message of work is a dead letter. A runner that has a message and cannot get its lease gives it back after 30 seconds, so few receives would be few minutes without runner-api. The sweep offers its attempt again."
  type        = number
  default     = 100

  validation {
    condition     = var.work_receives >= 1 && var.work_receives <= 1000
    error_message = "Between 1 and 1000."
  }
}

variable "function_receives" {
  description = "Receives after which a message for a function is a dead letter. The control plane itself gives a message up at the tenth, and tells of it in `millrace status`: fewer here would hide that."
  type        = number
  default     = 12

  validation {
    condition     = var.function_receives > 10 && var.function_receives <= 1000
    error_message = "Between 11 and 1000: the control plane gives up at the tenth."
  }
}

variable "report_receives" {
  description = "The same for the queues `report` and `forge`, whose messages nobody sends again: with `function_visibility_seconds`, how long the forge may be away. 1000 times 360 seconds are four days."
  type        = number
  default     = 1000

  validation {
    condition     = var.report_receives > 10 && var.report_receives <= 1000
    error_message = "Between 11 and 1000: the control plane gives up at the tenth."
  }
}

variable "system_max_age_seconds" {
  description = "Age of the oldest message beyond which the alarm of a queue rings that a function drains. One that failed once waits for `function_visibility_seconds`."
  type        = number
  default     = 1800

  validation {
    condition     = var.system_max_age_seconds >= 60
    error_message = "At least a minute."
  }
}

variable "work_max_age_seconds" {
  description = "The same for queues of work, by priority. Background work may wait for days."
  type = object({
    urgent     = number
    normal     = number
    background = number
  })
  default = {
    urgent     = 1800
    normal     = 21600
    background = 604800
  }

  validation {
    condition     = alltrue([for seconds in values(var.work_max_age_seconds) : seconds >= 60 && seconds < 1209600])
    error_message = "Between a minute and the 14 days after which SQS drops a message."
  }
}
