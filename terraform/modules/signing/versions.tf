terraform {
  required_version = ">= 1.11.0, < 2.0.0"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The first that knows Ed25519 keys.
      version = ">= 6.21.0, < 7.0.0"
    }
  }
}
