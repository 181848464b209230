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
  state_repository   = { url = "https://git.example.org/acme/state.git", forge = "gitea", forge_api = "https://git.example.org/api/v1" }
  alarm_mails        = ["night@example.org"]
  network            = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }
  domain             = { name = "repos.example.org", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1" }
  runner_packages    = { x86_64 = { url = "https://example.org/runner.deb", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }, arm64 = { url = "https://example.org/runner.deb", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" } }
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
    condition     = output.signer_instance_profile_name == "millrace-signer"
    error_message = "Who starts a signer on EC2 finds its profile."
  }
  assert {
    condition     = length(module.fleet) == 2 && strcontains(file("main.tf"), "/aws/service/debian/release/") && strcontains(file("main.tf"), "install mmdebstrap dnf rpm")
    error_message = "A fleet that serves build-deb and build-rpm has the tools of both."
  }
  assert {
    condition     = output.repositories_url == "https://repos.example.org/repos"
    error_message = "Clients use the host name of yours."
  }
}

run "a_package_for_another_system_is_refused" {
  command = plan

  variables {
    runner_packages = { x86_64 = { url = "https://example.org/runner.rpm", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }, arm64 = { url = "https://example.org/runner.deb", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" } }
  }

  expect_failures = [var.runner_packages]
}

run "functions_have_the_processor_that_is_written" {
  command = plan

  variables {
    architecture           = "x86_64"
    webhook_concurrency    = null
    runner_api_concurrency = null
    read_api_concurrency   = null
    sweep_concurrency      = null
    forge_concurrency      = null
  }

  # Functions are inside of modules; what the plan shows of them is here.
  assert {
    condition     = module.control_plane.architecture == "x86_64" && module.webhook.architecture == "x86_64"
    error_message = "Every function is of the processor that its package is for."
  }
}

run "another_processor_is_refused" {
  command = plan

  variables {
    architecture = "s390x"
  }

  expect_failures = [var.architecture]
}

run "the_distribution_rings_where_it_has_a_topic" {
  command = plan

  variables {
    region = "us-east-1"
  }

  assert {
    condition     = module.publishing.alarm_name == "millrace-publishing-5xx"
    error_message = "In us-east-1 there is a topic."
  }
}

run "the_distribution_rings_elsewhere_with_a_topic_of_yours" {
  command = plan

  variables {
    us_east_1_topic_arn = "arn:aws:sns:us-east-1:123456789012:alarms"
  }

  assert {
    condition     = module.publishing.alarm_name == "millrace-publishing-5xx"
    error_message = "A topic that is named is rung."
  }
}

run "answers_on_the_branch_of_wishes_are_refused" {
  command = plan

  variables {
    state_repository = { url = "https://git.example.org/state.git", branch = "main", status_branch = "main" }
  }

  expect_failures = [var.state_repository]
}

run "a_reservation_of_nothing_or_of_a_half_is_refused" {
  command = plan

  variables {
    webhook_concurrency    = 0
    runner_api_concurrency = 2.5
    read_api_concurrency   = -1
    sweep_concurrency      = 0
    forge_concurrency      = 2
  }

  expect_failures = [var.webhook_concurrency, var.runner_api_concurrency, var.read_api_concurrency, var.sweep_concurrency, var.forge_concurrency]
}

run "a_topic_of_another_region_is_refused" {
  command = plan

  variables {
    us_east_1_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alarms"
  }

  expect_failures = [var.us_east_1_topic_arn]
}

run "a_network_by_its_name_is_refused" {
  command = plan

  variables {
    network = { vpc_id = "main", subnet_ids = ["subnet-1"] }
  }

  expect_failures = [var.network]
}

run "a_subnet_by_its_name_is_refused" {
  command = plan

  variables {
    network = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "public"] }
  }

  expect_failures = [var.network]
}

run "a_package_that_a_shell_would_expand_is_refused" {
  command = plan

  variables {
    runner_packages = { x86_64 = { url = "https://example.org/`id`.deb", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }, arm64 = { url = "https://example.org/runner.deb", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" } }
  }

  expect_failures = [var.runner_packages]
}
