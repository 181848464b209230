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

variable "keys" {
  description = "Signing keys: the name of `keys/<name>.yaml` to the kind of key. ECC_NIST_EDWARDS25519 is Ed25519, which signs fast; RSA_4096 is for clients that do not know Ed25519."
  type        = map(string)
  default     = { release = "ECC_NIST_EDWARDS25519" }

  validation {
    condition     = length(var.keys) > 0 && alltrue([for spec in values(var.keys) : contains(["ECC_NIST_EDWARDS25519", "RSA_4096"], spec)])
    error_message = "At least one key, each ECC_NIST_EDWARDS25519 or RSA_4096: the other kinds are not read by rpm 4.18."
  }

  validation {
    condition     = alltrue([for name in keys(var.keys) : can(regex("^[a-z0-9][a-z0-9-]{0,62}$", name))])
    error_message = "The name of a key has a-z, 0-9 and `-`."
  }
}

variable "administrator_arns" {
  description = "Who may change and delete keys, and not sign; whoever applies must be among them. Empty: whom the account's IAM policies allow."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.administrator_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "Write ARNs of roles or users."
  }
}

variable "signer_principal_arns" {
  description = "Roles that a signer outside of AWS comes with. Empty: only an instance with the signer's profile signs."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.signer_principal_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/", arn))])
    error_message = "Write ARNs of roles: no users with keys that last, and never the whole account."
  }
}
