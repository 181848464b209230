# Who is told, and what there is to look at.

resource "aws_sns_topic" "alarms" {
  name = "${var.prefix}-alarms"
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "ServicesTell"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "events.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "mail" {
  for_each = var.alarm_mails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_budgets_budget" "monthly" {
  name         = "${var.prefix}-monthly"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    for_each = [
      { type = "ACTUAL", percent = 50 },
      { type = "ACTUAL", percent = 90 },
      { type = "FORECASTED", percent = 100 },
    ]

    content {
      comparison_operator       = "GREATER_THAN"
      notification_type         = notification.value.type
      threshold                 = notification.value.percent
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }

  depends_on = [aws_sns_topic_policy.alarms]
}

locals {
  half = { width = 12, height = 6 }

  widgets = [
    merge(local.half, {
      x = 0, y = 0, type = "metric"
      properties = {
        title   = "Messages that wait, oldest (seconds)"
        region  = var.region
        stat    = "Maximum"
        period  = 300
        metrics = [for name in var.lane_names : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", name]]
      }
    }),
    merge(local.half, {
      x = 12, y = 0, type = "metric"
      properties = {
        title   = "Messages that were given up"
        region  = var.region
        stat    = "Maximum"
        period  = 300
        metrics = [for name in var.dead_names : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]]
      }
    }),
    merge(local.half, {
      x = 0, y = 6, type = "metric"
      properties = {
        title   = "Functions that fail or are throttled"
        region  = var.region
        stat    = "Sum"
        period  = 300
        metrics = concat([for name in var.function_names : ["AWS/Lambda", "Errors", "FunctionName", name]], [for name in var.function_names : ["AWS/Lambda", "Throttles", "FunctionName", name]])
      }
    }),
    merge(local.half, {
      x = 12, y = 6, type = "metric"
      properties = {
        title   = "Functions, 99 of 100 take less than (ms)"
        region  = var.region
        stat    = "p99"
        period  = 300
        metrics = [for name in var.function_names : ["AWS/Lambda", "Duration", "FunctionName", name]]
      }
    }),
    merge(local.half, {
      x = 0, y = 12, type = "metric"
      properties = {
        title  = "Ledger: units, throttled, conflicts"
        region = var.region
        stat   = "Sum"
        period = 300
        metrics = [
          for metric in ["ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents", "TransactionConflict"] :
          ["AWS/DynamoDB", metric, "TableName", var.table_name]
        ]
      }
    }),
    merge(local.half, {
      x = 12, y = 12, type = "metric"
      properties = {
        title   = "Artifacts (bytes)"
        region  = var.region
        stat    = "Maximum"
        period  = 86400
        metrics = [["AWS/S3", "BucketSizeBytes", "BucketName", var.bucket_name, "StorageType", "StandardStorage"]]
      }
    }),
  ]

  fleet_widgets = length(var.fleet_names) == 0 ? [] : [merge(local.half, {
    x = 0, y = 18, type = "metric"
    properties = {
      title   = "Runners on EC2"
      region  = var.region
      stat    = "Maximum"
      period  = 300
      metrics = [for name in var.fleet_names : ["AWS/AutoScaling", "GroupInServiceInstances", "AutoScalingGroupName", name]]
    }
  })]
}

resource "aws_cloudwatch_dashboard" "millrace" {
  dashboard_name = var.prefix
  # Widgets are of several shapes, which one list of Terraform cannot hold.
  dashboard_body = "{\"widgets\":[${join(",", concat([for widget in local.widgets : jsonencode(widget)], [for widget in local.fleet_widgets : jsonencode(widget)]))}]}"
}
