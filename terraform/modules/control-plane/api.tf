# One HTTP API for runners, people and clients. It costs nothing while nobody calls, and throttles what it must.

resource "aws_apigatewayv2_api" "control_plane" {
  name          = var.prefix
  description   = "Runner API, command line, pages and repositories of ${var.prefix}."
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "function" {
  for_each = toset(["runner-api", "read-api"])

  api_id                 = aws_apigatewayv2_api.control_plane.id
  integration_type       = "AWS_PROXY"
  integration_uri        = module.function[each.key].invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 29000
}

locals {
  routes = {
    "ANY /runner/v1/{proxy+}" = { function = "runner-api", rate = var.runner_rate_limit, burst = var.runner_burst_limit }
    # read-api changes nothing, so a person's commands go to the function that may.
    "POST /api/v1/cancel" = { function = "runner-api", rate = 5, burst = 10 }
    "POST /api/v1/retry"  = { function = "runner-api", rate = 5, burst = 10 }
    "$default"            = { function = "read-api", rate = var.read_rate_limit, burst = var.read_burst_limit }
  }
}

# A runner signs each call with its key, and a person's command has a token: both are over the body or compared in
# constant time, in the function.
resource "aws_apigatewayv2_route" "route" {
  for_each = local.routes

  api_id             = aws_apigatewayv2_api.control_plane.id
  route_key          = each.key
  target             = "integrations/${aws_apigatewayv2_integration.function[each.value.function].id}"
  authorization_type = "NONE"
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/apigateway/${var.prefix}"
  retention_in_days = var.log_retention_days
}

resource "aws_apigatewayv2_stage" "control_plane" {
  api_id      = aws_apigatewayv2_api.control_plane.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.read_rate_limit
    throttling_burst_limit   = var.read_burst_limit
    detailed_metrics_enabled = false
  }

  dynamic "route_settings" {
    for_each = { for key, route in local.routes : key => route if key != "$default" }

    content {
      route_key                = route_settings.key
      throttling_rate_limit    = route_settings.value.rate
      throttling_burst_limit   = route_settings.value.burst
      detailed_metrics_enabled = false
    }
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      time    = "$context.requestTime"
      request = "$context.requestId"
      ip      = "$context.identity.sourceIp"
      route   = "$context.routeKey"
      path    = "$context.path"
      status  = "$context.status"
      millis  = "$context.responseLatency"
    })
  }

  # Settings of a route are refused before the route is there.
  depends_on = [aws_apigatewayv2_route.route]
}

resource "aws_lambda_permission" "api" {
  for_each = toset(["runner-api", "read-api"])

  statement_id  = "ControlPlaneApi"
  action        = "lambda:InvokeFunction"
  function_name = module.function[each.key].name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.control_plane.execution_arn}/*"
}

resource "aws_cloudwatch_metric_alarm" "server_errors" {
  alarm_name          = "${var.prefix}-api-5xx"
  alarm_description   = "Runners or people are answered with 5xx. Runners wait and call again. Look at the logs of runner-api and read-api."
  namespace           = "AWS/ApiGateway"
  metric_name         = "5xx"
  dimensions          = { ApiId = aws_apigatewayv2_api.control_plane.id }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 10
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
