mock_provider "aws" {
  mock_resource "aws_sns_topic" {
    defaults = {
      arn = "arn:aws:sns:eu-central-1:123456789012:millrace-alarms"
    }
  }
}

variables {
  prefix             = "millrace"
  account_id         = "123456789012"
  region             = "eu-central-1"
  alarm_mails        = ["night@example.org"]
  monthly_budget_usd = 30
  lane_names         = ["millrace-test-amd64-normal"]
  dead_names         = ["millrace-test-amd64-dead"]
  function_names     = ["millrace-sweep"]
  table_name         = "millrace-ledger"
  bucket_name        = "millrace-artifacts"
  fleet_names        = ["millrace-x86"]
}

run "people_are_told" {
  command = apply

  assert {
    condition     = length(aws_sns_topic_subscription.mail) == 1 && length(aws_budgets_budget.monthly.notification) == 3
    error_message = "Alarms and the budget reach somebody."
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.millrace.dashboard_body).widgets) == 7
    error_message = "The dashboard is a document with all its widgets."
  }
  assert {
    condition     = jsondecode(aws_sns_topic_policy.alarms.policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "Services of other accounts do not ring our alarms."
  }
}
