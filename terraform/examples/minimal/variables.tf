variable "prefix" {
  description = "Begins the name of everything in this installation."
  type        = string
  default     = "millrace"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.prefix))
    error_message = "A prefix has 3 to 24 characters: a-z, 0-9 and `-`. It begins with a letter and does not end with `-`."
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

variable "architecture" {
  description = "Processor of the functions, for which their packages are compiled: arm64 or x86_64."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "Write arm64 or x86_64."
  }
}

variable "packages_directory" {
  description = "Directory with one zip file per function, compiled for `architecture`. Null: where `cargo xtask functions` packs them for it, `target/functions/<architecture>`."
  type        = string
  default     = null
}

variable "state_repository" {
  description = "The state repository: its https URL, its branches, and its forge: github, gitea or none."
  type = object({
    url           = string
    branch        = optional(string, "main")
    status_branch = optional(string, "status")
    forge         = optional(string, "none")
    # Where its API begins: for a Gitea, and for GitHub Enterprise.
    forge_api = optional(string)
    # As OWNER/NAME. Left out: as the URL ends.
    forge_repository = optional(string)
    # Of GitHub: the number of the App that writes checks.
    forge_app = optional(number)
  })

  validation {
    condition     = startswith(var.state_repository.url, "https://")
    error_message = "Write an https URL."
  }

  validation {
    condition     = var.state_repository.branch != var.state_repository.status_branch
    error_message = "`branch` and `status_branch` are the same. People write wishes into the one and Millrace its answers into the other: name two branches."
  }
}

variable "alarm_mails" {
  description = "Who gets every alarm."
  type        = set(string)

  validation {
    condition     = length(var.alarm_mails) > 0
    error_message = "An alarm that nobody hears is none: write at least one address."
  }
}

variable "monthly_budget_usd" {
  description = "Budget for a month, in USD."
  type        = number
  default     = 30

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "More than nothing."
  }
}

variable "network" {
  description = "Where runners are: a VPC and subnets whose instances reach the internet."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })

  validation {
    condition     = length(var.network.subnet_ids) > 0
    error_message = "At least one subnet."
  }

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.network.vpc_id))
    error_message = "Write the id of a VPC, like vpc-0123456789abcdef0."
  }

  validation {
    condition     = alltrue([for id in var.network.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "Write ids of subnets, like subnet-0123456789abcdef0."
  }
}

variable "runner_package" {
  description = "The runner's package for x86_64: where it is, and its SHA-256."
  type = object({
    url    = string
    sha256 = string
  })

  validation {
    condition     = can(regex("^https://[^[:space:]\"$\\\\`()]+\\.(rpm|deb)$", var.runner_package.url))
    error_message = "Write an https URL that ends in .rpm, without a space or any of \"$\\`(), since a shell script of the instance has it."
  }

  validation {
    condition     = !endswith(var.runner_package.url, ".deb")
    error_message = "The runners of this example have Amazon Linux: write a .rpm file."
  }

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.runner_package.sha256))
    error_message = "Write the SHA-256 as 64 hex digits, in small letters."
  }
}

variable "webhook_concurrency" {
  description = "Most deliveries of the forge at a time. Null: no reservation, as for the four below, for a new account, which has 10 runs in all."
  type        = number
  default     = 5

  validation {
    condition     = var.webhook_concurrency == null ? true : var.webhook_concurrency >= 1 && floor(var.webhook_concurrency) == var.webhook_concurrency
    error_message = "A whole number from 1, or null for no reservation. With 0, AWS would never start the function."
  }
}

variable "runner_api_concurrency" {
  description = "Most calls of runners at a time."
  type        = number
  default     = 50

  validation {
    condition     = var.runner_api_concurrency == null ? true : var.runner_api_concurrency >= 1 && floor(var.runner_api_concurrency) == var.runner_api_concurrency
    error_message = "A whole number from 1, or null for no reservation. With 0, AWS would never start the function."
  }
}

variable "read_api_concurrency" {
  description = "Most questions at a time."
  type        = number
  default     = 100

  validation {
    condition     = var.read_api_concurrency == null ? true : var.read_api_concurrency >= 1 && floor(var.read_api_concurrency) == var.read_api_concurrency
    error_message = "A whole number from 1, or null for no reservation. With 0, AWS would never start the function."
  }
}

variable "sweep_concurrency" {
  description = "Most sweeps at a time."
  type        = number
  default     = 2

  validation {
    condition     = var.sweep_concurrency == null ? true : var.sweep_concurrency >= 1 && floor(var.sweep_concurrency) == var.sweep_concurrency
    error_message = "A whole number from 1, or null for no reservation. With 0, AWS would never start the function."
  }
}

variable "forge_concurrency" {
  description = "Most runs at a time that write to the forge. Null: no reservation; then two can meet, and write a check twice."
  type        = number
  default     = 1

  validation {
    condition     = var.forge_concurrency == null ? true : var.forge_concurrency == 1
    error_message = "Write 1, or null for no reservation: of two that write one check at the same time, each would make one."
  }
}

variable "us_east_1_topic_arn" {
  description = "SNS topic of us-east-1 for the alarm of CloudFront, which counts there alone. Null: no such alarm, but for an installation in us-east-1, which has a topic there."
  type        = string
  default     = null

  validation {
    condition     = var.us_east_1_topic_arn == null ? true : can(regex("^arn:aws[a-z-]*:sns:us-east-1:[0-9]{12}:[A-Za-z0-9_-]+$", var.us_east_1_topic_arn))
    error_message = "Write the ARN of an SNS topic in us-east-1, like arn:aws:sns:us-east-1:123456789012:alarms, or null. CloudFront rings in no other region."
  }
}
