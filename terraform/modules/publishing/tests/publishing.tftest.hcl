mock_provider "aws" {}

variables {
  prefix                      = "millrace"
  bucket_regional_domain_name = "millrace-artifacts.s3.eu-central-1.amazonaws.com"
  api_domain_name             = "a1.execute-api.eu-central-1.amazonaws.com"
}

run "signed_to_the_bucket" {
  command = apply

  assert {
    condition     = aws_cloudfront_origin_access_control.artifacts.signing_behavior == "always"
    error_message = "The bucket answers CloudFront alone, which signs."
  }
  assert {
    condition     = aws_cloudfront_distribution.repositories.default_cache_behavior[0].target_origin_id == "artifacts" && [for behavior in aws_cloudfront_distribution.repositories.ordered_cache_behavior : "${behavior.path_pattern} ${behavior.target_origin_id}"] == ["/repos* read-api"]
    error_message = "Paths of repositories come from the API, and nothing else does."
  }
  assert {
    condition     = aws_cloudfront_cache_policy.repositories.max_ttl == 60 && aws_cloudfront_cache_policy.repositories.default_ttl == 5
    error_message = "A flip is seen within a minute."
  }
  assert {
    condition     = aws_cloudfront_distribution.repositories.default_cache_behavior[0].allowed_methods == toset(["GET", "HEAD"])
    error_message = "Clients read."
  }
}

run "a_name_needs_a_certificate" {
  command = plan

  variables {
    aliases = ["repos.example.org"]
  }

  expect_failures = [var.aliases]
}
