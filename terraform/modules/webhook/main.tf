# The door for the forge: an HTTP API of its own, so that a flood here takes nothing from runners.

module "function" {
  source = "../function"

  prefix                       = var.prefix
  name                         = "webhook"
  description                  = "Verifies a delivery of the forge and says on a queue where to look. Decides nothing."
  package                      = var.package
  architecture                 = var.architecture
  memory_megabytes             = 128
  timeout_seconds              = 5
  reserved_concurrency         = var.reserved_concurrency
  log_retention_days           = var.log_retention_days
  configuration_parameter_name = var.configuration_parameter_name
  configuration_parameter_arn  = var.configuration_parameter_arn
  secret_parameter_arns        = [var.secret_parameter_arn]
  secrets_kms_key_arn          = var.secrets_kms_key_arn
  alarm_topic_arn              = var.alarm_topic_arn

  statements = [{
    sid       = "Wake"
    actions   = ["sqs:GetQueueUrl", "sqs:SendMessage"]
    resources = concat([var.wake_queue_arn], var.forge_queue_arn == null ? [] : [var.forge_queue_arn])
  }]
}

resource "aws_apigatewayv2_api" "webhook" {
  name          = "${var.prefix}-webhook"
  description   = "Takes deliveries of the forge."
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "webhook" {
  api_id                 = aws_apigatewayv2_api.webhook.id
  integration_type       = "AWS_PROXY"
  integration_uri        = module.function.invoke_arn
  payload_format_version = "2.0"
  # GitHub waits for 10 seconds, Gitea for 5.
  timeout_milliseconds = 5000
}

# Who calls is proven by the HMAC over the body, which an authorizer would not see.
resource "aws_apigatewayv2_route" "webhook" {
  api_id             = aws_apigatewayv2_api.webhook.id
  route_key          = "POST /webhook/{forge}"
  target             = "integrations/${aws_apigatewayv2_integration.webhook.id}"
  authorization_type = "NONE"
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/apigateway/${var.prefix}-webhook"
  retention_in_days = var.log_retention_days
}

resource "aws_apigatewayv2_stage" "webhook" {
  api_id      = aws_apigatewayv2_api.webhook.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.rate_limit
    throttling_burst_limit   = var.burst_limit
    detailed_metrics_enabled = false
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      time    = "$context.requestTime"
      request = "$context.requestId"
      ip      = "$context.identity.sourceIp"
      route   = "$context.routeKey"
      status  = "$context.status"
      millis  = "$context.responseLatency"
    })
  }
}

resource "aws_lambda_permission" "webhook" {
  statement_id  = "WebhookApi"
  action        = "lambda:InvokeFunction"
  function_name = module.function.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.webhook.execution_arn}/*/*/webhook/{forge}"
}

resource "aws_cloudwatch_metric_alarm" "server_errors" {
  alarm_name          = "${var.prefix}-webhook-5xx"
  alarm_description   = "Deliveries of the forge are answered with 5xx. Nothing is lost: the sweep looks at the state repository every minute."
  namespace           = "AWS/ApiGateway"
  metric_name         = "5xx"
  dimensions          = { ApiId = aws_apigatewayv2_api.webhook.id }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
