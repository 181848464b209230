# Timers: the sweep each minute, and once a day with the wish to prune; the forge each minute, where there is one.
#
# In a file of its own: the judge with an older provider leaves it out (terraform/judges/README.md).

locals {
  timed = setintersection(["sweep", "forge"], local.names)
}

resource "aws_iam_role" "scheduler" {
  name        = "${var.prefix}-scheduler"
  description = "Starts the sweep and the forge, and can do nothing else."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "sweep"
  role = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Start"
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction"]
      Resource = [for name in sort(local.timed) : module.function[name].arn]
    }]
  })
}

resource "aws_scheduler_schedule" "sweep" {
  name                = "${var.prefix}-sweep"
  description         = "Looks at everything that is not at rest."
  schedule_expression = "rate(1 minute)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = module.function["sweep"].arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ sweep = "everything" })

    # The next minute tries again by itself.
    retry_policy {
      maximum_retry_attempts       = 0
      maximum_event_age_in_seconds = 60
    }
  }
}

resource "aws_scheduler_schedule" "prune" {
  name                = "${var.prefix}-prune"
  description         = "Removes artifacts that nothing names."
  schedule_expression = var.prune_schedule

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 60
  }

  target {
    arn      = module.function["sweep"].arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ sweep = "orphans" })

    # Of the start alone: a run that fails is tried again tomorrow, and the alarm prune-silent tells after two days.
    retry_policy {
      maximum_retry_attempts       = 3
      maximum_event_age_in_seconds = 3600
    }
  }
}

# What no webhook tells of.
resource "aws_scheduler_schedule" "forge" {
  for_each = setintersection(["forge"], local.timed)

  name                = "${var.prefix}-forge"
  description         = "Looks at pull requests, and tells how work goes."
  schedule_expression = "rate(1 minute)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = module.function["forge"].arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ forge = "look" })

    # The next minute tries again by itself.
    retry_policy {
      maximum_retry_attempts       = 0
      maximum_event_age_in_seconds = 60
    }
  }
}

# Lambda tries a failed start twice by itself, minutes later: for a timer of one minute that is too late to be of use.
resource "aws_lambda_function_event_invoke_config" "timed" {
  for_each = local.timed

  function_name                = module.function[each.key].name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

moved {
  from = aws_lambda_function_event_invoke_config.sweep
  to   = aws_lambda_function_event_invoke_config.timed["sweep"]
}
