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

variable "name" {
  description = "Name of the fleet: the `<id>` of `runners/<id>.yaml`. A fleet is enrolled once, and its instances share the key."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,38}[a-z0-9]$", var.name))
    error_message = "A name has 2 to 40 characters: a-z, 0-9 and `-`."
  }

  validation {
    condition     = length("${var.prefix}-${var.name}") <= 64
    error_message = "Prefix and name are the name of a role, which has at most 64 characters: shorten one of them."
  }

  # Roles have one list of names.
  validation {
    condition     = !contains(["collect", "dispatch", "plan", "read-api", "report", "runner", "runner-api", "scheduler", "signer", "sweep", "webhook"], var.name)
    error_message = "A function, or a role of the installation, has this name. Name the fleet by its processor."
  }
}

variable "architecture" {
  description = "Processor of the instances: x86_64, or arm64 for Graviton."
  type        = string

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "Write x86_64 or arm64. EC2 has no Power: enrol such a host as in examples/self-hosted-runners."
  }
}

variable "instance_types" {
  description = "Types to choose from, best first. More types mean that spot finds one more often."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0 && length(var.instance_types) <= 20
    error_message = "Between one and twenty types."
  }

  validation {
    condition     = alltrue([for type in var.instance_types : can(regex("^[a-z]+[0-9]+g[a-z]*\\.", type)) == (var.architecture == "arm64")])
    error_message = "For arm64 every type is a Graviton one, like c7g.xlarge; for x86_64 none is."
  }
}

variable "queues" {
  description = "Queues of work that the fleet serves: those of output `work` of the module queues that fit its roles and architecture."
  type = map(list(object({
    arn          = string
    name         = string
    role         = string
    architecture = string
    priority     = string
  })))

  validation {
    condition     = length(var.queues) > 0
    error_message = "A fleet without a queue never starts."
  }

  validation {
    condition     = !contains(flatten([for lanes in values(var.queues) : [for lane in lanes : lane.role]]), "sign")
    error_message = "The signer is a machine of its own: no fleet serves sign.any."
  }
}

variable "bucket_arn" {
  description = "ARN of the artifact bucket."
  type        = string
}

variable "control_url" {
  description = "URL of the runner API: output `api_url` of the module control-plane."
  type        = string
}

variable "key_parameter" {
  description = "SecureString parameter with the fleet's private identity key, as `millrace-runner enroll` makes it."
  type        = string

  validation {
    condition     = can(regex("^/[A-Za-z0-9/_.-]+$", var.key_parameter))
    error_message = "The name of a parameter begins with `/`."
  }
}

variable "package_url" {
  description = "Where the runner's package is: a .rpm or a .deb, as `cargo xtask packages` makes them."
  type        = string

  validation {
    condition     = can(regex("^https://[^[:space:]\"$\\\\`()]+\\.(rpm|deb)$", var.package_url))
    error_message = "Write an https URL that ends in .rpm or .deb, without a space or any of \"$\\`(), since a shell script of the instance has it. The unit and the account of the runner come with the package."
  }
}

variable "package_sha256" {
  description = "SHA-256 of that package. Another one is not installed."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.package_sha256))
    error_message = "64 hex digits."
  }
}

variable "ami_id" {
  description = "Image of the instances, with systemd: Amazon Linux 2023 or another with dnf, the AWS command line and curl, or a Debian for a .deb, where both are installed first."
  type        = string

  validation {
    condition     = can(regex("^(ami-[0-9a-f]{8,17}|resolve:ssm:/.+)$", var.ami_id))
    error_message = "Write ami-... or resolve:ssm:/aws/service/...: the image is looked up when an instance starts."
  }
}

variable "root_device" {
  description = "Device of the image's root disk."
  type        = string
  default     = "/dev/xvda"
}

variable "vpc_id" {
  description = "Network of the instances."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "Write the id of a VPC, like vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "Subnets of the instances, best one per zone, with a way to the internet."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "At least one subnet."
  }

  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "Write ids of subnets, like subnet-0123456789abcdef0."
  }
}

variable "public_ip" {
  description = "Whether instances get a public address: without one they need a NAT gateway, which costs about 35 USD a month while nothing is built."
  type        = bool
  default     = true
}

variable "egress_ports" {
  description = "TCP ports that instances may call. Add 22 for sources over ssh, 9418 for git's own protocol."
  type        = set(number)
  default     = [80, 443]

  validation {
    condition     = alltrue([for port in var.egress_ports : port >= 1 && port <= 65535])
    error_message = "Ports are 1 to 65535."
  }
}

variable "max_size" {
  description = "Most instances at a time: with the price of an instance, the most that an hour costs."
  type        = number
  default     = 4

  validation {
    condition     = var.max_size >= 1 && var.max_size <= 500
    error_message = "Between 1 and 500."
  }
}

variable "spot" {
  description = "Spot instances cost a third. One that is taken away hands its attempts back, and they begin anew elsewhere."
  type        = bool
  default     = true
}

variable "capacity" {
  description = "Jobs at a time on one instance, as in `runners/<id>.yaml`."
  type        = number
  default     = 1

  validation {
    condition     = var.capacity >= 1 && var.capacity <= 64
    error_message = "Between 1 and 64."
  }
}

variable "disk_gigabytes" {
  description = "Root disk, for build roots and caches."
  type        = number
  default     = 60

  validation {
    condition     = var.disk_gigabytes >= 30
    error_message = "At least 30 GB: build roots alone take 20."
  }
}

variable "start_after_seconds" {
  description = "Age of the oldest message beyond which an instance is started."
  type        = number
  default     = 60

  validation {
    condition     = var.start_after_seconds >= 30
    error_message = "At least 30: below that, an instance is started for work that a runner is about to take."
  }
}

variable "step" {
  description = "Instances that are started at once when work has waited ten times as long."
  type        = number
  default     = 4

  validation {
    condition     = var.step >= 1
    error_message = "At least one."
  }
}

variable "warmup_seconds" {
  description = "How long an instance takes until it takes work: before that, no other is started beside it, unless work has waited ten times as long."
  type        = number
  default     = 180

  validation {
    condition     = var.warmup_seconds >= 0
    error_message = "Not negative."
  }
}

variable "idle_minutes" {
  description = "An instance without a job for this long ends itself."
  type        = number
  default     = 10

  validation {
    condition     = var.idle_minutes >= 2
    error_message = "At least two minutes: starting one takes as long."
  }
}

variable "drain_seconds" {
  description = "How long jobs get to finish when an instance is told to stop. Spot gives two minutes in all."
  type        = number
  default     = 30

  validation {
    condition     = var.drain_seconds >= 0 && var.drain_seconds <= 3600
    error_message = "Between 0 and 3600."
  }
}

variable "max_busy_hours" {
  description = "Hours in which the fleet was never empty, beyond which the alarm rings."
  type        = number
  default     = 72

  validation {
    condition     = var.max_busy_hours >= 1 && var.max_busy_hours <= 168
    error_message = "CloudWatch looks back for at most 168 hours."
  }
}

variable "extra_setup" {
  description = "Shell lines that run before the runner starts, as to install dnf or mmdebstrap."
  type        = string
  default     = ""
}

variable "secrets_kms_key_arn" {
  description = "KMS key of the fleet's parameter. Null: the account's key `aws/ssm`, which needs no policy."
  type        = string
  default     = null
}

variable "data_kms_key_arn" {
  description = "Your KMS key of the artifacts, if you set one there."
  type        = string
  default     = null
}
