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
  })

  validation {
    condition     = startswith(var.state_repository.url, "https://")
    error_message = "Write an https URL."
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
  default     = 300

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
}

variable "runner_packages" {
  description = "The runner's Debian package per processor, x86_64 and arm64: where it is, and its SHA-256."
  type = map(object({
    url    = string
    sha256 = string
  }))

  validation {
    condition     = length(setsubtract(["x86_64", "arm64"], keys(var.runner_packages))) == 0
    error_message = "Write both x86_64 and arm64."
  }

  validation {
    condition     = alltrue([for package in values(var.runner_packages) : endswith(package.url, ".deb")])
    error_message = "The runners of this example have Debian, since they build packages for both: write .deb files."
  }
}

variable "domain" {
  description = "Host name of yours for the repositories, with its certificate from ACM in us-east-1."
  type = object({
    name            = string
    certificate_arn = string
  })
}

variable "webhook_concurrency" {
  description = "Most deliveries of the forge at a time. Null: no reservation, as for the three below, for a new account, which has 10 runs in all."
  type        = number
  default     = 5
}

variable "runner_api_concurrency" {
  description = "Most calls of runners at a time."
  type        = number
  default     = 50
}

variable "read_api_concurrency" {
  description = "Most questions at a time."
  type        = number
  default     = 100
}

variable "sweep_concurrency" {
  description = "Most sweeps at a time."
  type        = number
  default     = 2
}

variable "us_east_1_topic_arn" {
  description = "SNS topic of us-east-1 for the alarm of CloudFront, which counts there alone. Null: no such alarm, but for an installation in us-east-1, which has a topic there."
  type        = string
  default     = null
}
