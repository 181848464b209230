mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = {
      account_id = "123456789012"
    }
  }

  mock_data "aws_partition" {
    defaults = {
      partition = "aws"
    }
  }
}

variables {
  region             = "eu-central-1"
  packages_directory = "../../fixtures/functions"
  state_repository   = { url = "https://git.example.org/state.git", forge = "gitea" }
  alarm_mails        = ["night@example.org"]
  network            = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }
  domain             = { name = "repos.example.org", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1" }
  runner_packages    = { x86_64 = { url = "https://example.org/runner.rpm", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }, arm64 = { url = "https://example.org/runner.rpm", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" } }
}

run "all_of_it" {
  # An apply could not be taken back: ledger, artifacts and keys refuse to be destroyed.
  command = plan

  # What `millrace init` reads.
  assert {
    condition     = length(setsubtract(["version", "region", "table", "bucket", "queue_prefix", "api_url", "publishing_url", "key_arns"], keys(output.installation))) == 0
    error_message = "The installation's document has all that is consumed."
  }
  assert {
    condition     = output.repositories_url == "https://repos.example.org/repos"
    error_message = "Clients use the host name of yours."
  }
}
