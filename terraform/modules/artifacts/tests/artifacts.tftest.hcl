# Plans alone: what was applied could not be destroyed again.
mock_provider "aws" {
  override_during = plan

  mock_resource "aws_s3_bucket" {
    defaults = {
      arn = "arn:aws:s3:::millrace-artifacts"
      id  = "millrace-artifacts"
    }
  }
}

variables {
  prefix                   = "millrace"
  bucket_name              = "millrace-artifacts"
  results_queue_arn        = "arn:aws:sqs:eu-central-1:123456789012:millrace-results-normal"
  reader_distribution_arns = ["arn:aws:cloudfront::123456789012:distribution/E1"]
  alarm_topic_arn          = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "closed_versioned_and_kept" {
  command = plan

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.artifacts.block_public_acls,
      aws_s3_bucket_public_access_block.artifacts.block_public_policy,
      aws_s3_bucket_public_access_block.artifacts.ignore_public_acls,
      aws_s3_bucket_public_access_block.artifacts.restrict_public_buckets,
    ])
    error_message = "Nothing in the bucket is public."
  }
  assert {
    condition     = aws_s3_bucket_versioning.artifacts.versioning_configuration[0].status == "Enabled"
    error_message = "What was replaced can be brought back, and prune removes versions by their ids."
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.artifacts.policy).Statement[0].Effect == "Deny" && jsondecode(aws_s3_bucket_policy.artifacts.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "Nothing is heard without TLS."
  }
  assert {
    condition = [
      for statement in jsondecode(aws_s3_bucket_policy.artifacts.policy).Statement :
      [statement.Action, trimprefix(statement.Resource, "arn:aws:s3:::millrace-artifacts")] if statement.Effect == "Allow"
    ] == [["s3:GetObject", "/blobs/sha256/*"]]
    error_message = "The distribution reads blobs, and nothing else."
  }
  assert {
    condition = {
      for statement in jsondecode(aws_s3_bucket_policy.artifacts.policy).Statement :
      statement.Sid => [statement.Action, statement.Resource, statement.Condition]
      if statement.Effect == "Deny" && statement.Sid != "TlsOnly"
      } == {
      ResultsAreNotReplaced = ["s3:PutObject", "arn:aws:s3:::millrace-artifacts/results/*", { Null = { "s3:if-none-match" = "true" } }]
      ResultsCanBeRead      = ["s3:PutObject", "arn:aws:s3:::millrace-artifacts/results/*", { StringNotEquals = { "s3:x-amz-storage-class" = "STANDARD" }, Null = { "s3:x-amz-storage-class" = "false" } }]
    }
    error_message = "A result is put once, and where it can be read at once."
  }
  assert {
    condition     = !aws_s3_bucket.artifacts.force_destroy && strcontains(file("main.tf"), "prevent_destroy = true")
    error_message = "Terraform refuses to destroy the artifacts."
  }
}

run "lifetimes" {
  command = plan

  assert {
    condition     = toset([for rule in aws_s3_bucket_lifecycle_configuration.artifacts.rule : rule.id if length(rule.abort_incomplete_multipart_upload) > 0]) == toset(["uploads-that-never-ended"])
    error_message = "Uploads that never ended go."
  }
  # A new rule is looked at by whoever changes this line: none may end what a pointer or a row names.
  assert {
    condition     = { for rule in aws_s3_bucket_lifecycle_configuration.artifacts.rule : rule.id => try(rule.filter[0].prefix, null) if rule.id == "results" } == { results = "results/" } && length(aws_s3_bucket_lifecycle_configuration.artifacts.rule) == 3
    error_message = "Blobs and pointers never expire."
  }
  assert {
    condition     = aws_s3_bucket_notification.results.queue[0].filter_prefix == "results/" && aws_s3_bucket_notification.results.queue[0].queue_arn == var.results_queue_arn
    error_message = "A result manifest is told of."
  }
}

run "noncurrent_versions_are_kept_for_days_not_weeks" {
  command = plan

  variables {
    noncurrent_days = 30
  }

  expect_failures = [var.noncurrent_days]
}
