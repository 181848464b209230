variable "prefix" {
  description = "Begins the name of everything in this installation."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.prefix))
    error_message = "A prefix has 3 to 24 characters: a-z, 0-9 and `-`. It begins with a letter and does not end with `-`."
  }
}

variable "account_id" {
  description = "Account of the installation."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account has 12 digits."
  }
}

variable "region" {
  description = "Region of the installation."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Write a region like eu-central-1."
  }
}


variable "alarm_mails" {
  description = "Mail addresses that get every alarm. Each confirms once."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for mail in var.alarm_mails : can(regex("^[^@ ]+@[^@ ]+$", mail))])
    error_message = "Write mail addresses."
  }
}

variable "monthly_budget_usd" {
  description = "Budget of the account for a month, in USD. At half, at nine tenths, and when the forecast is beyond it, the alarm topic is told. It stops nothing."
  type        = number

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "More than nothing."
  }
}

variable "lane_names" {
  description = "Queues: output `lane_names` of the module queues."
  type        = list(string)
}

variable "dead_names" {
  description = "Dead-letter queues: output `dead_names` of the module queues."
  type        = list(string)
}

variable "function_names" {
  description = "Functions: outputs of the modules control-plane and webhook."
  type        = list(string)
}

variable "table_name" {
  description = "The ledger's table."
  type        = string
}

variable "bucket_name" {
  description = "The artifact bucket."
  type        = string
}

variable "fleet_names" {
  description = "Groups of runners: output `group_name` of each module runner-fleet."
  type        = list(string)
  default     = []
}
