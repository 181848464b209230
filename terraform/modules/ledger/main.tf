# The ledger: one table. Each row is one fact, written under a condition.

resource "aws_dynamodb_table" "ledger" {
  name         = "${var.prefix}-ledger"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"

  # The stream only says that the outbox has something. What it is, dispatch reads from the table.
  stream_enabled   = true
  stream_view_type = "KEYS_ONLY"

  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  # Without a key of yours, DynamoDB encrypts with a key that AWS owns, which costs nothing.
  server_side_encryption {
    enabled     = var.kms_key_arn != null
    kms_key_arn = var.kms_key_arn
  }

  # What a runaway loop can cost at most.
  on_demand_throughput {
    max_read_request_units  = var.max_read_units
    max_write_request_units = var.max_write_units
  }

  # No TTL: a row that vanishes by itself would be a decision that nobody made.

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_cloudwatch_metric_alarm" "throttled" {
  alarm_name          = "${var.prefix}-ledger-throttled"
  alarm_description   = "The ledger turns requests away. Either the most units of the table are reached, or one partition is hot. Nothing is lost: callers try again."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.throttle_threshold
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]

  metric_query {
    id          = "all"
    expression  = "FILL(reads, 0) + FILL(writes, 0)"
    label       = "throttled"
    return_data = true
  }

  metric_query {
    id = "reads"

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "ReadThrottleEvents"
      dimensions  = { TableName = aws_dynamodb_table.ledger.name }
      period      = 300
      stat        = "Sum"
    }
  }

  metric_query {
    id = "writes"

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "WriteThrottleEvents"
      dimensions  = { TableName = aws_dynamodb_table.ledger.name }
      period      = 300
      stat        = "Sum"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "system_errors" {
  for_each = toset(["GetItem", "Query", "TransactWriteItems"])

  alarm_name          = "${var.prefix}-ledger-errors-${lower(each.key)}"
  alarm_description   = "DynamoDB answers ${each.key} with errors of its own. Nothing is lost: callers try again. Look at the service's health page."
  namespace           = "AWS/DynamoDB"
  metric_name         = "SystemErrors"
  dimensions          = { TableName = aws_dynamodb_table.ledger.name, Operation = each.key }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
