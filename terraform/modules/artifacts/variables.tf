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

variable "bucket_name" {
  description = "Name of the bucket, unique in all of AWS."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "A bucket has 3 to 63 characters: a-z, 0-9 and `-`. With a dot in it, TLS certificates do not fit."
  }
}

variable "results_queue_arn" {
  description = "Queue that is told of every new object below `results/`: output `results_arn` of the module queues."
  type        = string
}

variable "reader_distribution_arns" {
  description = "CloudFront distributions that may read `blobs/sha256/`: output `distribution_arn` of the module publishing."
  type        = list(string)
  default     = []
}

variable "kms_key_arn" {
  description = "KMS key that encrypts objects. Null: SSE-S3, which costs nothing. With a key, the distribution and every function need rights on it."
  type        = string
  default     = null
}

variable "noncurrent_days" {
  description = "Days for which versions that were replaced are kept. They are paid for."
  type        = number
  default     = 3

  validation {
    condition     = var.noncurrent_days >= 1 && var.noncurrent_days <= 3
    error_message = "Between 1 and 3 days: every flip and every renewal leaves a version, so more is expensive."
  }
}

variable "results_days" {
  description = "Days for which result manifests are kept, for people who look into an attempt."
  type        = number
  default     = 30

  validation {
    condition     = var.results_days >= 14
    error_message = "At least the 14 days for which the queue may hold the message that names a manifest."
  }
}

variable "max_gigabytes" {
  description = "Size of the bucket beyond which the alarm rings, in GB. 1000 GB cost about 23 USD a month."
  type        = number
  default     = 1000

  validation {
    condition     = var.max_gigabytes > 0
    error_message = "More than nothing."
  }
}
