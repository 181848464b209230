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

variable "account_id" {
  description = "Account of the installation."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account has 12 digits."
  }
}

variable "partition" {
  description = "Partition of AWS: `aws`, `aws-cn` or `aws-us-gov`."
  type        = string
  default     = "aws"

  validation {
    condition     = contains(["aws", "aws-cn", "aws-us-gov"], var.partition)
    error_message = "Write aws, aws-cn or aws-us-gov."
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

variable "packages_directory" {
  description = "Directory with one zip file per function: plan.zip, dispatch.zip, runner-api.zip, collect.zip, report.zip, sweep.zip, read-api.zip, and forge.zip where there is a forge."
  type        = string
}

variable "table_name" {
  description = "Name of the ledger's table."
  type        = string
}

variable "table_arn" {
  description = "ARN of the ledger's table."
  type        = string
}

variable "stream_arn" {
  description = "ARN of the ledger's stream."
  type        = string
}

variable "bucket_name" {
  description = "Name of the artifact bucket."
  type        = string
}

variable "bucket_arn" {
  description = "ARN of the artifact bucket."
  type        = string
}

variable "system_queues" {
  description = "Queues that functions drain: output `system` of the module queues."
  type = object({
    advance = map(string)
    report  = map(string)
    wake    = map(string)
    results = map(string)
    forge   = optional(map(string), {})
  })

  validation {
    condition     = var.state_repository.forge == "none" || length(var.system_queues.forge) > 0
    error_message = "The state repository is on a forge, and there is no queue for it: set `has_forge` of the module queues."
  }
}

variable "key_arns" {
  description = "Signing keys by name, for the configuration document. No function may use them."
  type        = map(string)
  default     = {}
}

variable "data_kms_key_arns" {
  description = "Your KMS keys of ledger and artifacts, if you set any there."
  type        = list(string)
  default     = []
}

variable "publishing_url" {
  description = "Where clients find the repositories, and files by their digests: output `url` of the module publishing. Null: below the HTTP API, at `/repos`, and large files by signed links of S3."
  type        = string
  default     = null
}

variable "state_repository" {
  description = "The state repository, and the branches of wishes and answers."
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
    condition     = can(regex("^https://[^@/]+/", var.state_repository.url))
    error_message = "Write an https URL without a name or a password in it: the token is a parameter of its own."
  }

  validation {
    condition     = contains(["github", "gitea", "none"], var.state_repository.forge)
    error_message = "The forge is github, gitea or none."
  }

  validation {
    condition     = var.state_repository.forge == "none" ? var.state_repository.forge_api == null && var.state_repository.forge_repository == null && var.state_repository.forge_app == null : true
    error_message = "`forge_api`, `forge_repository` and `forge_app` are about a forge: write `forge` too, github or gitea."
  }

  validation {
    condition     = var.state_repository.forge != "github" ? true : var.state_repository.forge_app == null ? false : var.state_repository.forge_app >= 1 && floor(var.state_repository.forge_app) == var.state_repository.forge_app
    error_message = "GitHub takes checks of Apps alone: write the App's number, from its page, as `forge_app`. docs/how-to/on-a-forge.md says how to make one."
  }

  validation {
    condition     = var.state_repository.forge == "gitea" ? var.state_repository.forge_app == null : true
    error_message = "Apps are GitHub's: a Gitea has tokens of users. Leave `forge_app` out."
  }

  validation {
    condition     = var.state_repository.forge == "gitea" ? var.state_repository.forge_api != null : true
    error_message = "Every Gitea is somewhere else: write where its API begins as `forge_api`, like https://git.example.org/api/v1."
  }

  validation {
    condition     = var.state_repository.forge_api == null ? true : can(regex("^https://[^@/?#[:space:]]+(/[^?#[:space:]]*)?$", var.state_repository.forge_api))
    error_message = "Write `forge_api` as an https URL without a name, a password or a question: the token is a parameter of its own."
  }

  validation {
    condition     = var.state_repository.forge == "none" ? true : can(regex("^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$", coalesce(var.state_repository.forge_repository, try(regex("^[a-z]+://[^/]+/(?:.+/)?([^/]+/[^/]+?)(?:\\.git)?/?$", var.state_repository.url)[0], "?"))))
    error_message = "Write the state repository at the forge as `forge_repository`, like acme/state: the URL does not end so, or it is written in another way."
  }

  validation {
    condition     = var.state_repository.branch != var.state_repository.status_branch
    error_message = "`branch` and `status_branch` are the same. People write wishes into the one and Millrace its answers into the other: name two branches."
  }
}

variable "secret_parameters" {
  description = "Names of the SecureString parameters. You make them, so that no secret is in Terraform's state: terraform/README.md says how. `forge_token` is for checks at the forge: the private key of a GitHub App, or a Gitea's token. Without a forge it need not be there, and no function may read it. `state_token` you do not make where the forge is github: the App logs in at git, and the function `forge` writes it."
  type = object({
    webhook_secret = string
    state_token    = string
    admin_token    = string
    forge_token    = string
  })

  validation {
    condition     = alltrue([for name in values(var.secret_parameters) : can(regex("^/[A-Za-z0-9/_.-]+$", name))])
    error_message = "The name of a parameter begins with `/`."
  }
}

variable "runner_api_concurrency" {
  description = "Most calls of runners at a time. A runner that waits for work holds one for up to 20 seconds, and it is paid for. Null: for accounts whose whole concurrency is small."
  type        = number
  default     = 50

  validation {
    condition     = var.runner_api_concurrency == null ? true : var.runner_api_concurrency >= 1 && floor(var.runner_api_concurrency) == var.runner_api_concurrency
    error_message = "A whole number from 1, or null for no reservation. With 0, AWS would never start the function."
  }
}

variable "read_api_concurrency" {
  description = "Most questions at a time, so that visitors take nothing from runners. Null: as above."
  type        = number
  default     = 100

  validation {
    condition     = var.read_api_concurrency == null ? true : var.read_api_concurrency >= 1 && floor(var.read_api_concurrency) == var.read_api_concurrency
    error_message = "A whole number from 1, or null for no reservation. With 0, AWS would never start the function."
  }
}

variable "sweep_concurrency" {
  description = "Most sweeps at a time: one, and one that prunes. Null: as above."
  type        = number
  default     = 2

  validation {
    condition     = var.sweep_concurrency == null ? true : var.sweep_concurrency >= 1 && floor(var.sweep_concurrency) == var.sweep_concurrency
    error_message = "A whole number from 1, or null for no reservation. With 0, AWS would never start the function."
  }
}

variable "forge_concurrency" {
  description = "Most runs at a time that write to the forge: two that write one check at the same time may double it. Null: as above; then two can meet."
  type        = number
  default     = 1

  validation {
    condition     = var.forge_concurrency == null ? true : var.forge_concurrency == 1
    error_message = "Write 1, or null for no reservation: of two that write one check at the same time, each would make one."
  }
}

variable "consumer_concurrency" {
  description = "Most runs at a time that one queue starts."
  type        = number
  default     = 2

  validation {
    condition     = var.consumer_concurrency >= 2 && var.consumer_concurrency <= 1000
    error_message = "Between 2, the least that Lambda takes, and 1000."
  }
}

variable "lease_seconds" {
  description = "A lease ends this long after the last heartbeat. The sweep looks each minute."
  type        = number
  default     = 120

  validation {
    condition     = var.lease_seconds >= 60 && var.lease_seconds <= 3600
    error_message = "Between a minute and an hour."
  }
}

variable "prune_schedule" {
  description = "When orphans are removed, as EventBridge Scheduler writes it."
  type        = string
  default     = "cron(17 3 * * ? *)"

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.prune_schedule))
    error_message = "Write rate(...) or cron(...)."
  }
}

variable "configuration_version" {
  description = "Raise it to have every function read its configuration anew though nothing else in it changed, as after a secret was replaced."
  type        = number
  default     = 1
}

variable "runner_rate_limit" {
  description = "Calls of runners a second beyond which they are answered 429, and wait."
  type        = number
  default     = 200

  validation {
    condition     = var.runner_rate_limit >= 1
    error_message = "At least one."
  }
}

variable "runner_burst_limit" {
  description = "Calls of runners at once that are taken beyond the rate."
  type        = number
  default     = 400

  validation {
    condition     = var.runner_burst_limit >= 1
    error_message = "At least one."
  }
}

variable "read_rate_limit" {
  description = "Questions a second beyond which they are answered 429. Clients of repositories come through CloudFront, which asks for each path anew after seconds, and each of its places for itself."
  type        = number
  default     = 1000

  validation {
    condition     = var.read_rate_limit >= 1
    error_message = "At least one."
  }
}

variable "read_burst_limit" {
  description = "Questions at once that are taken beyond the rate."
  type        = number
  default     = 2000

  validation {
    condition     = var.read_burst_limit >= 1
    error_message = "At least one."
  }
}

