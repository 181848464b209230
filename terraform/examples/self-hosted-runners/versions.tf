terraform {
  required_version = ">= 1.11.0, < 2.0.0"

  # Where the state is, says backend.hcl of yours: terraform/README.md, section State.
  backend "s3" {}

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.21.0, < 7.0.0"
    }
  }
}
