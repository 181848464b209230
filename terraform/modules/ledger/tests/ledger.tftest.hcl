mock_provider "aws" {}

variables {
  prefix          = "millrace"
  alarm_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "one_table_that_is_kept" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.ledger.hash_key == "pk" && aws_dynamodb_table.ledger.range_key == "sk"
    error_message = "The key is pk and sk."
  }
  assert {
    condition     = aws_dynamodb_table.ledger.billing_mode == "PAY_PER_REQUEST"
    error_message = "Nothing is paid for while nothing happens."
  }
  assert {
    condition     = aws_dynamodb_table.ledger.deletion_protection_enabled && aws_dynamodb_table.ledger.point_in_time_recovery[0].enabled
    error_message = "The ledger is protected, and can be put back to a second."
  }
  assert {
    condition     = aws_dynamodb_table.ledger.stream_enabled && aws_dynamodb_table.ledger.stream_view_type == "KEYS_ONLY"
    error_message = "The stream tells keys."
  }
  assert {
    condition     = length(aws_dynamodb_table.ledger.ttl) == 0
    error_message = "No row vanishes by itself."
  }
  assert {
    condition     = aws_dynamodb_table.ledger.name == "millrace-ledger" && strcontains(file("main.tf"), "prevent_destroy = true")
    error_message = "Terraform refuses to destroy the ledger."
  }
}

run "a_bad_prefix_is_refused" {
  command = plan

  variables {
    prefix = "Millrace-"
  }

  expect_failures = [var.prefix]
}
