mock_provider "aws" {}

variables {
  prefix                       = "millrace"
  package                      = "../../fixtures/functions/webhook.zip"
  configuration_parameter_name = "/millrace/configuration"
  configuration_parameter_arn  = "arn:aws:ssm:eu-central-1:123456789012:parameter/millrace/configuration"
  secret_parameter_arn         = "arn:aws:ssm:eu-central-1:123456789012:parameter/millrace/secrets/webhook"
  wake_queue_arn               = "arn:aws:sqs:eu-central-1:123456789012:millrace-wake-normal"
  alarm_topic_arn              = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "a_flood_is_throttled" {
  command = apply

  assert {
    condition     = aws_apigatewayv2_stage.webhook.default_route_settings[0].throttling_rate_limit == 20
    error_message = "Deliveries are throttled."
  }
  assert {
    condition     = aws_apigatewayv2_route.webhook.route_key == "POST /webhook/{forge}"
    error_message = "There is one route."
  }
  assert {
    condition     = endswith(aws_lambda_permission.webhook.source_arn, "/*/*/webhook/{forge}")
    error_message = "Only that route starts the function, by whatever stage and method."
  }
}

run "what_is_about_pull_requests_has_another_queue" {
  command = apply

  variables {
    forge_queue_arn = "arn:aws:sqs:eu-central-1:123456789012:millrace-forge-normal"
  }

  assert {
    condition     = one([for statement in jsondecode(module.function.policy).Statement : statement.Resource if statement.Sid == "Wake"]) == [var.wake_queue_arn, var.forge_queue_arn]
    error_message = "The door reaches both queues and no more."
  }
}
