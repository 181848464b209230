# The control plane: functions, what starts them, and the one configuration document.
#
# What functions may do is in iam.tf, the HTTP API in api.tf, the role of runners in runners.tf, timers in scheduler.tf.

locals {
  # A name's settings. `reserved` protects: see docs/adr/0016-terraform.md.
  functions = {
    plan = {
      description = "Reads the head of the state repository and moves requests on."
      memory      = 256
      timeout     = 300
      reserved    = null
      secrets     = ["state_token"]
    }
    dispatch = {
      description = "Hands outbox rows to the queues."
      memory      = 128
      timeout     = 60
      reserved    = null
      secrets     = []
    }
    runner-api = {
      description = "Leases, heartbeats and results of runners; cancel and retry of people."
      memory      = 256
      timeout     = 29
      reserved    = var.runner_api_concurrency
      secrets     = ["state_token", "admin_token"]
    }
    collect = {
      description = "Takes result manifests in."
      memory      = 256
      timeout     = 300
      reserved    = null
      secrets     = ["state_token"]
    }
    report = {
      description = "Writes status commits."
      memory      = 256
      timeout     = 120
      reserved    = null
      secrets     = ["state_token"]
    }
    sweep = {
      description = "Looks at everything that is not at rest."
      memory      = 256
      timeout     = 300
      reserved    = var.sweep_concurrency
      secrets     = ["state_token"]
    }
    forge = {
      description = "Tells people at the forge, and does what they ask for there."
      memory      = 256
      timeout     = 300
      reserved    = var.forge_concurrency
      secrets     = ["state_token", "forge_token"]
    }
    read-api = {
      description = "Answers what is asked, and changes nothing."
      memory      = 256
      timeout     = 29
      reserved    = var.read_api_concurrency
      secrets     = ["state_token"]
    }
  }
  has_forge = var.state_repository.forge != "none"
  # Then `forge` writes the state repository's login, which no person does.
  app_logs_in = var.state_repository.forge == "github"
  names       = toset([for name in keys(local.functions) : name if name != "forge" || local.has_forge])

  secret_arns = {
    for secret, name in var.secret_parameters :
    secret => "arn:${var.partition}:ssm:${var.region}:${var.account_id}:parameter${name}"
  }
}

module "function" {
  source   = "../function"
  for_each = local.names

  prefix                       = var.prefix
  name                         = each.key
  description                  = local.functions[each.key].description
  package                      = "${var.packages_directory}/${each.key}.zip"
  architecture                 = var.architecture
  memory_megabytes             = local.functions[each.key].memory
  timeout_seconds              = local.functions[each.key].timeout
  reserved_concurrency         = local.functions[each.key].reserved
  log_retention_days           = var.log_retention_days
  configuration_parameter_name = aws_ssm_parameter.configuration.name
  configuration_parameter_arn  = aws_ssm_parameter.configuration.arn
  secret_parameter_arns        = [for secret in local.functions[each.key].secrets : local.secret_arns[secret]]
  secrets_kms_key_arn          = var.secrets_kms_key_arn
  statements                   = local.statements[each.key]
  # One forge at a time is how it should be: who is turned away comes again.
  throttle_threshold = each.key == "forge" ? null : 10
  alarm_topic_arn    = var.alarm_topic_arn
}

locals {
  # What `millrace init` consumes too.
  installation = {
    version         = 1
    region          = var.region
    prefix          = var.prefix
    table           = var.table_name
    bucket          = var.bucket_name
    queue_prefix    = var.prefix
    wake_queue      = "${var.prefix}-wake-normal"
    api_url         = aws_apigatewayv2_api.control_plane.api_endpoint
    publishing_url  = var.publishing_url
    runner_role_arn = aws_iam_role.runner.arn
    key_arns        = var.key_arns
    state_repository = {
      url           = var.state_repository.url
      branch        = var.state_repository.branch
      status_branch = var.state_repository.status_branch
      forge         = var.state_repository.forge
      app_logs_in   = local.app_logs_in
    }
    forge = local.has_forge ? {
      kind       = var.state_repository.forge
      api        = var.state_repository.forge_api
      repository = var.state_repository.forge_repository
      app        = var.state_repository.forge_app
    } : null
    secrets               = var.secret_parameters
    secrets_key_arn       = var.secrets_kms_key_arn
    result_prefix         = "results/"
    blob_prefix           = "blobs/sha256/"
    pointer_prefix        = "pointers/"
    runner_lease_seconds  = var.lease_seconds
    credentials_seconds   = aws_iam_role.runner.max_session_duration
    configuration_version = var.configuration_version
  }
}

# One typed document in the place of dozens of environment variables. Nothing in it is secret.
resource "aws_ssm_parameter" "configuration" {
  name        = "/${var.prefix}/configuration"
  description = "The configuration of every function of ${var.prefix}, as JSON."
  type        = "String"
  value       = jsonencode(local.installation)
}

# Functions drain queues through these. A message that fails comes back alone, not its batch.

locals {
  consumers = merge(
    { for priority, arn in var.system_queues.advance : "advance-${priority}" => { function = "plan", arn = arn, batch = 10, window = 0 } },
    { for priority, arn in var.system_queues.report : "report-${priority}" => { function = "report", arn = arn, batch = 100, window = 10 } },
    { for priority, arn in var.system_queues.wake : "wake-${priority}" => { function = "plan", arn = arn, batch = 10, window = 0 } },
    # A push to a pull request comes as several deliveries: one look is as good.
    { for priority, arn in var.system_queues.forge : "forge-${priority}" => { function = "forge", arn = arn, batch = 10, window = 1 } if local.has_forge },
    { for priority, arn in var.system_queues.results : "results-${priority}" => { function = "collect", arn = arn, batch = 10, window = 0 } },
  )
}

resource "aws_lambda_event_source_mapping" "queue" {
  for_each = local.consumers

  event_source_arn                   = each.value.arn
  function_name                      = module.function[each.value.function].arn
  batch_size                         = each.value.batch
  maximum_batching_window_in_seconds = each.value.window
  function_response_types            = ["ReportBatchItemFailures"]

  # Reserved concurrency in its place would throttle, and throttled messages become dead letters. The queue of `forge`,
  # of which one is the most, keeps them for days.
  scaling_config {
    maximum_concurrency = var.consumer_concurrency
  }
}

resource "aws_sqs_queue" "dispatch_dead" {
  name                      = "${var.prefix}-dispatch-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "dispatch_dead" {
  queue_url = aws_sqs_queue.dispatch_dead.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.dispatch_dead.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

# The stream says that the outbox has something. The sweep looks too, so what is given up here is only late.
resource "aws_lambda_event_source_mapping" "outbox" {
  event_source_arn               = var.stream_arn
  function_name                  = module.function["dispatch"].arn
  starting_position              = "TRIM_HORIZON"
  batch_size                     = 100
  bisect_batch_on_function_error = true
  maximum_retry_attempts         = 5
  maximum_record_age_in_seconds  = 3600
  function_response_types        = ["ReportBatchItemFailures"]

  filter_criteria {
    filter {
      pattern = jsonencode({
        eventName = ["INSERT"]
        dynamodb  = { Keys = { pk = { S = ["/outbox"] } } }
      })
    }
  }

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.dispatch_dead.arn
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "dispatch_dead" {
  alarm_name          = "${aws_sqs_queue.dispatch_dead.name}-depth"
  alarm_description   = "Dispatch gave a part of the stream up. The sweep sends what is in the outbox, so look why, then purge the queue."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dispatch_dead.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "dispatch_late" {
  alarm_name          = "${var.prefix}-dispatch-late"
  alarm_description   = "Dispatch is more than five minutes behind the stream. The sweep sends meanwhile."
  namespace           = "AWS/Lambda"
  metric_name         = "IteratorAge"
  dimensions          = { FunctionName = module.function["dispatch"].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 300000
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

# A message that fails comes back alone, and the run counts as a good one: only the log says that something failed. What
# is told of attempts and of strangers' mistakes is not counted.
resource "aws_cloudwatch_log_metric_filter" "failures" {
  for_each = setintersection(["plan", "report", "sweep", "collect", "forge"], local.names)

  name           = "failures"
  log_group_name = module.function[each.key].log_group_name
  pattern        = "{ ($.level = \"ERROR\") || (($.level = \"WARN\") && ($.message = \"failed*\")) }"

  metric_transformation {
    namespace = "Millrace"
    name      = "${var.prefix}-failures"
    value     = "1"
  }
}

# What fails once is done a few minutes later. What goes on failing is told of.
resource "aws_cloudwatch_metric_alarm" "failures" {
  alarm_name          = "${var.prefix}-failures"
  alarm_description   = "plan, report, sweep, collect or forge has failed at something for half an hour. Their logs, with level ERROR or WARN, say at what: /aws/lambda/${var.prefix}-plan and so on."
  namespace           = "Millrace"
  metric_name         = "${var.prefix}-failures"
  statistic           = "Sum"
  period              = 600
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

# Every other loop leans on the sweep, so its silence is an alarm of its own. A run that fails or times out is none. It
# rings for a quarter of an hour after the first apply, too.
resource "aws_cloudwatch_metric_alarm" "sweep_silent" {
  alarm_name          = "${var.prefix}-sweep-silent"
  alarm_description   = "The sweep has not ended well for a quarter of an hour: leases do not end, and lost messages stay lost. Look at the schedule ${var.prefix}-sweep, then at the function's log."
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]

  metric_query {
    id          = "well"
    expression  = "FILL(invocations, 0) - FILL(errors, 0)"
    label       = "runs that ended well"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { invocations = "Invocations", errors = "Errors" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/Lambda"
        metric_name = metric_query.value
        dimensions  = { FunctionName = module.function["sweep"].name }
        period      = 300
        stat        = "Sum"
      }
    }
  }
}

# One failure a day is too few for the alarm of errors.
resource "aws_cloudwatch_log_metric_filter" "pruned" {
  name           = "pruned"
  log_group_name = module.function["sweep"].log_group_name
  pattern        = "{ $.message = \"pruned\" }"

  metric_transformation {
    namespace = "Millrace"
    name      = "${var.prefix}-pruned"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "prune_silent" {
  alarm_name          = "${var.prefix}-prune-silent"
  alarm_description   = "Nothing was pruned for two days, so the bucket grows. The log /aws/lambda/${var.prefix}-sweep has the reason, at the time of the schedule ${var.prefix}-prune."
  namespace           = "Millrace"
  metric_name         = "${var.prefix}-pruned"
  statistic           = "Sum"
  period              = 86400
  evaluation_periods  = 2
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
