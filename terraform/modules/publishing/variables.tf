variable "prefix" {
  description = "Begins the name of everything in this installation."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.prefix))
    error_message = "A prefix has 3 to 24 characters: a-z, 0-9 and `-`. It begins with a letter and does not end with `-`."
  }
}

variable "bucket_regional_domain_name" {
  description = "Host name of the artifact bucket."
  type        = string
}

variable "api_domain_name" {
  description = "Host name of the HTTP API: output `api_domain_name` of the module control-plane."
  type        = string
}

variable "aliases" {
  description = "Host names of yours, which you point to the distribution. They need `certificate_arn`."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.aliases) == 0 || var.certificate_arn != null
    error_message = "A host name of yours needs a certificate: set certificate_arn."
  }
}

variable "certificate_arn" {
  description = "Certificate for the aliases, from ACM in us-east-1. Null: CloudFront's own name."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:[a-z-]+:acm:us-east-1:", var.certificate_arn))
    error_message = "CloudFront takes certificates of us-east-1 alone."
  }
}

variable "plain_http" {
  description = "Whether clients may come over HTTP without TLS. Packages and indexes are signed; old clients may need it."
  type        = bool
  default     = false
}

variable "price_class" {
  description = "Where CloudFront answers: PriceClass_100 is North America and Europe, PriceClass_All everywhere."
  type        = string
  default     = "PriceClass_100"

  validation {
    condition     = contains(["PriceClass_100", "PriceClass_200", "PriceClass_All"], var.price_class)
    error_message = "Write PriceClass_100, PriceClass_200 or PriceClass_All."
  }
}

variable "us_east_1_alarms" {
  description = "SNS topic of us-east-1 for the alarm of the distribution. Null: no alarm. In us-east-1 it is output `topic_arn` of the module observability."
  type        = object({ topic_arn = string })
  default     = null
}
