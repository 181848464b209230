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
  region                = "eu-central-1"
  packages_directory    = "../../fixtures/functions"
  state_repository      = { url = "https://git.example.org/state.git", forge = "gitea" }
  alarm_mails           = ["night@example.org"]
  signer_principal_arns = ["arn:aws:iam::123456789012:role/signer-at-home"]
}

run "all_of_it" {
  # An apply could not be taken back: ledger, artifacts and keys refuse to be destroyed.
  command = plan

  # What `millrace init` reads.
  assert {
    condition     = length(setsubtract(["version", "region", "table", "bucket", "queue_prefix", "api_url", "publishing_url", "key_arns"], keys(output.installation))) == 0
    error_message = "The installation's document has all that is consumed."
  }
}
