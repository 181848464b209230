# Queues: for each name one lane per priority, and one dead-letter queue.

locals {
  priorities = ["urgent", "normal", "background"]

  per_architecture = concat(
    [for pair in setproduct(["build-rpm", "test"], var.rpm_architectures) : { role = pair[0], arch = pair[1] }],
    [for pair in setproduct(["build-deb", "test"], var.deb_architectures) : { role = pair[0], arch = pair[1] }],
  )
  anywhere = [for role in ["compose", "sign"] : { role = role, arch = "any" }]

  # As the ledger names them: <role>.<architecture>.
  work = {
    for queue in concat(local.per_architecture, local.anywhere) :
    "${queue.role}.${queue.arch}" => merge(queue, {
      priorities = local.priorities
      # Nothing looks at it: whoever receives says for how long, and the lease is in the ledger.
      visibility = 30
      receives   = var.work_receives
    })
  }

  # Those that functions drain. `wake` and `results` are not names of the ledger, and what is asked at a forge is all
  # alike: nobody sets a priority there.
  drained = merge(
    {
      advance = local.priorities
      report  = local.priorities
      wake    = ["normal"]
      results = ["normal"]
    },
    { for name in ["forge"] : name => ["normal"] if var.has_forge },
  )

  system = {
    for name, priorities in local.drained :
    name => {
      role       = "control"
      arch       = "any"
      priorities = priorities
      visibility = var.function_visibility_seconds
      # `forge` has one function at a time: messages are turned away while it is at work, and each time counts.
      receives = contains(local.kept, name) ? var.report_receives : var.function_receives
    }
  }

  # Nobody sends these again.
  kept = ["report", "forge"]

  queues = merge(local.work, local.system)

  # SQS allows no dots in names.
  lanes = merge([
    for name, queue in local.queues : {
      for priority in queue.priorities : "${name}/${priority}" => merge(queue, {
        queue     = name
        priority  = priority
        full_name = "${var.prefix}-${replace(name, ".", "-")}-${priority}"
        max_age   = contains(keys(local.system), name) ? var.system_max_age_seconds : var.work_max_age_seconds[priority]
      })
    }
  ]...)
}

resource "aws_sqs_queue" "dead" {
  for_each = local.queues

  name                      = "${var.prefix}-${replace(each.key, ".", "-")}-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true

  # Not the tag of a lane: policies let functions and runners at lanes by it.
  tags = {
    millrace-dead = each.key
  }
}

resource "aws_sqs_queue" "lane" {
  for_each = local.lanes

  name                       = each.value.full_name
  message_retention_seconds  = 1209600
  receive_wait_time_seconds  = 20
  visibility_timeout_seconds = each.value.visibility
  sqs_managed_sse_enabled    = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.value.queue].arn
    maxReceiveCount     = each.value.receives
  })

  # The policies of runners compare these with the tags of a runner's session, and those of functions name queues by
  # the first.
  tags = {
    millrace-installation = var.prefix
    millrace-queue        = each.value.queue
    millrace-role         = each.value.role
    millrace-architecture = each.value.arch
    millrace-priority     = each.value.priority
  }
}

locals {
  tls_only = {
    for name, arn in merge(
      { for key, queue in aws_sqs_queue.lane : key => queue.arn },
      { for key, queue in aws_sqs_queue.dead : "${key}/dead" => queue.arn },
      ) : name => {
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
  }
}

resource "aws_sqs_queue_policy" "lane" {
  for_each = aws_sqs_queue.lane

  queue_url = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([local.tls_only[each.key]], each.key != "results/normal" ? [] : [{
      Sid       = "BucketTells"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = each.value.arn
      Condition = {
        ArnEquals    = { "aws:SourceArn" = var.bucket_arn }
        StringEquals = { "aws:SourceAccount" = var.account_id }
      }
    }])
  })
}

resource "aws_sqs_queue_policy" "dead" {
  for_each = aws_sqs_queue.dead

  queue_url = each.value.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [local.tls_only["${each.key}/dead"]]
  })
}

resource "aws_cloudwatch_metric_alarm" "dead" {
  for_each = aws_sqs_queue.dead

  alarm_name          = "${each.value.name}-depth"
  alarm_description   = "Messages of ${each.key} were given up. ${contains(local.kept, each.key) ? "Nobody sends them again: look why, then move them back" : "The sweep does their work anew, so look why, then purge the queue"}: terraform/README.md, section Alarms."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "age" {
  for_each = aws_sqs_queue.lane

  alarm_name          = "${each.value.name}-age"
  alarm_description   = "The oldest message of ${each.key} waits for more than ${local.lanes[each.key].max_age} seconds. For work: are there runners with this role and architecture? Else: look at the errors of the function."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.lanes[each.key].max_age
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
