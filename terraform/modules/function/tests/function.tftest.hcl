mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = {
      arn = "arn:aws:iam::123456789012:role/millrace-sweep"
    }
  }
}

variables {
  prefix                       = "millrace"
  name                         = "sweep"
  description                  = "Looks."
  package                      = "../../fixtures/functions/sweep.zip"
  configuration_parameter_name = "/millrace/configuration"
  configuration_parameter_arn  = "arn:aws:ssm:eu-central-1:123456789012:parameter/millrace/configuration"
  alarm_topic_arn              = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "one_role_one_variable_one_log" {
  command = apply

  assert {
    condition     = aws_lambda_function.function.runtime == "provided.al2023" && aws_lambda_function.function.architectures == tolist(["arm64"])
    error_message = "A program for arm64."
  }
  assert {
    condition     = aws_lambda_function.function.environment[0].variables == tomap({ MILLRACE_CONFIGURATION = "/millrace/configuration" })
    error_message = "The environment has the name of the configuration, and nothing else."
  }
  assert {
    condition     = aws_lambda_function.function.role == aws_iam_role.function.arn && aws_iam_role.function.name == "millrace-sweep"
    error_message = "The function has a role of its own."
  }
  assert {
    condition     = aws_cloudwatch_log_group.function.retention_in_days == 30
    error_message = "Logs end."
  }
  assert {
    condition     = toset(flatten([for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : statement.Action])) == toset(["logs:CreateLogStream", "logs:PutLogEvents", "ssm:GetParameter"])
    error_message = "Without statements it logs and reads its configuration."
  }
}

run "who_runs_once_at_a_time_rings_for_errors_alone" {
  command = apply

  variables {
    throttle_threshold = null
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.throttles) == 0 && aws_cloudwatch_metric_alarm.errors.threshold == 3
    error_message = "To be turned away is no trouble there."
  }
}

run "wildcards_are_refused" {
  command = plan

  variables {
    statements = [{ sid = "All", actions = ["s3:Get*"], resources = ["*"] }]
  }

  expect_failures = [var.statements]
}

run "a_package_that_is_not_there_is_said" {
  command = plan

  variables {
    package = "../../fixtures/functions/none.zip"
  }

  expect_failures = [var.package]
}
