# Runners on EC2 for one architecture. None while there is no work: a queue's age starts them, and a runner that has
# been idle ends itself. Nothing else ends one, since a build may take fifty hours and leaves no message behind.

# What the provider puts on everything, it puts neither on what a template starts nor on a group.
data "aws_default_tags" "current" {}

locals {
  tags = merge(data.aws_default_tags.current.tags, { millrace-fleet = var.name })

  name  = "${var.prefix}-${var.name}"
  lanes = flatten(values(var.queues))
  drain = "drain"

  key_arn = "arn:${var.partition}:ssm:${var.region}:${var.account_id}:parameter${var.key_parameter}"

  user_data = templatefile("${path.module}/user-data.sh.tftpl", {
    region         = var.region
    group          = local.name
    runner         = var.name
    control        = var.control_url
    key_parameter  = var.key_parameter
    roles          = sort(distinct([for lane in local.lanes : lane.role]))
    capacity       = var.capacity
    idle_minutes   = var.idle_minutes
    extra_setup    = var.extra_setup
    lifecycle_hook = local.drain
    drain_seconds  = var.drain_seconds
    package_kind   = regex("rpm$|deb$", var.package_url)
    package_url    = var.package_url
    package_sha256 = var.package_sha256
  })
}

resource "aws_iam_role" "instance" {
  name        = local.name
  description = "Runners of the fleet ${var.name}: their own queues, their own results, their own key."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_instance_profile" "instance" {
  name = local.name
  role = aws_iam_role.instance.name
}

resource "aws_iam_role_policy" "instance" {
  name = "runner"
  role = aws_iam_role.instance.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "OwnKey"
        Effect   = "Allow"
        Action   = ["ssm:GetParameter"]
        Resource = [local.key_arn]
      },
      {
        Sid      = "OwnResults"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = ["${var.bucket_arn}/results/${var.name}/*"]
      },
      {
        Sid      = "OwnQueues"
        Effect   = "Allow"
        Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
        Resource = [for lane in local.lanes : lane.arn]
      },
      {
        # An instance of this group may end, and so lower the number that is wanted. It cannot start one.
        Sid      = "EndOneself"
        Effect   = "Allow"
        Action   = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat", "autoscaling:TerminateInstanceInAutoScalingGroup"]
        Resource = ["arn:${var.partition}:autoscaling:${var.region}:${var.account_id}:autoScalingGroup:*:autoScalingGroupName/${local.name}"]
      },
      {
        # CloudWatch knows no resource for it.
        Sid       = "TellFailedStarts"
        Effect    = "Allow"
        Action    = ["cloudwatch:PutMetricData"]
        Resource  = ["*"]
        Condition = { StringEquals = { "cloudwatch:namespace" = "Millrace" } }
      },
      ], var.data_kms_key_arn == null ? [] : [{
        Sid       = "DataKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [var.data_kms_key_arn]
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
        }], var.secrets_kms_key_arn == null ? [] : [{
        Sid       = "DecryptKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [var.secrets_kms_key_arn]
        Condition = { StringEquals = { "kms:EncryptionContext:PARAMETER_ARN" = local.key_arn } }
    }])
  })
}

# Nobody connects to a runner.
resource "aws_security_group" "runner" {
  name        = local.name
  description = "Runners of ${local.name}: out to mirrors, forges and AWS, and nothing in."
  vpc_id      = var.vpc_id

  dynamic "egress" {
    for_each = var.egress_ports

    content {
      description = "To TCP port ${egress.value} of anybody: sources and mirrors are anywhere."
      protocol    = "tcp"
      from_port   = egress.value
      to_port     = egress.value
      cidr_blocks = ["0.0.0.0/0"]
    }
  }
}

resource "aws_launch_template" "runner" {
  name                   = local.name
  description            = "A Millrace runner, ${var.architecture}."
  image_id               = var.ami_id
  update_default_version = true
  user_data              = base64encode(local.user_data)

  iam_instance_profile {
    arn = aws_iam_instance_profile.instance.arn
  }

  # One hop: not from a container's network. A build has no network at all; what runs on the machine's own can ask for
  # the instance's credentials, see docs/explanation/security.md.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  network_interfaces {
    associate_public_ip_address = var.public_ip
    security_groups             = [aws_security_group.runner.id]
    delete_on_termination       = true
  }

  block_device_mappings {
    device_name = var.root_device

    ebs {
      volume_size           = var.disk_gigabytes
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = false
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(local.tags, { Name = local.name })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(local.tags, { Name = local.name })
  }
}

resource "aws_autoscaling_group" "runner" {
  name                      = local.name
  min_size                  = 0
  max_size                  = var.max_size
  vpc_zone_identifier       = var.subnet_ids
  health_check_type         = "EC2"
  health_check_grace_period = 300
  default_cooldown          = 60
  protect_from_scale_in     = true
  enabled_metrics           = ["GroupInServiceInstances", "GroupDesiredCapacity"]
  capacity_rebalance        = false
  # It would start instances elsewhere and end as many here, which are protected.
  suspended_processes       = ["AZRebalance"]
  wait_for_capacity_timeout = "0"

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = 0
      on_demand_percentage_above_base_capacity = var.spot ? 0 : 100
      spot_allocation_strategy                 = "capacity-optimized-prioritized"
    }

    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.runner.id
        version            = "$Latest"
      }

      dynamic "override" {
        for_each = var.instance_types

        content {
          instance_type = override.value
        }
      }
    }
  }

  dynamic "tag" {
    for_each = local.tags

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  # The number that is wanted belongs to the alarms and to the runners.
  lifecycle {
    ignore_changes = [desired_capacity]
  }

  depends_on = [aws_iam_role_policy.instance]
}

# What is told to stop hands its attempts back first. By itself: a change of it inside the group would replace the
# group, and end every build.
resource "aws_autoscaling_lifecycle_hook" "drain" {
  name                   = local.drain
  autoscaling_group_name = aws_autoscaling_group.runner.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = var.drain_seconds + 120
  default_result         = "CONTINUE"
}

resource "aws_autoscaling_policy" "start" {
  name                      = "${local.name}-start"
  autoscaling_group_name    = aws_autoscaling_group.runner.name
  policy_type               = "StepScaling"
  adjustment_type           = "ChangeInCapacity"
  estimated_instance_warmup = var.warmup_seconds

  # One more for as long as the oldest message is still too old, and none while one warms up; several at once when it has
  # waited for long.
  step_adjustment {
    scaling_adjustment          = 1
    metric_interval_lower_bound = "0"
    metric_interval_upper_bound = tostring(var.start_after_seconds * 9)
  }

  step_adjustment {
    scaling_adjustment          = var.step
    metric_interval_lower_bound = tostring(var.start_after_seconds * 9)
  }
}

# It rings to the group, not to people: to start a runner is no trouble. That work waits too long is told by the
# alarms beside the queues.
#
# One of five: the newest minute often has no number yet, and what FILL puts there says that nothing waits.
resource "aws_cloudwatch_metric_alarm" "work_waits" {
  for_each = var.queues

  alarm_name          = "${local.name}-work-waits-${replace(each.key, ".", "-")}"
  alarm_description   = "Work of ${each.key} waits for more than ${var.start_after_seconds} seconds: one more runner of ${local.name}."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.start_after_seconds
  evaluation_periods  = 5
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_autoscaling_policy.start.arn]

  metric_query {
    id          = "oldest"
    expression  = "MAX([${join(", ", [for lane in each.value : "FILL(${lane.priority}, 0)"])}])"
    label       = "age of the oldest message"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value

    content {
      id = metric_query.value.priority

      metric {
        namespace   = "AWS/SQS"
        metric_name = "ApproximateAgeOfOldestMessage"
        dimensions  = { QueueName = metric_query.value.name }
        period      = 60
        stat        = "Maximum"
      }
    }
  }
}

# A package that cannot be installed, or a setup that fails: each instance ends itself, and the age of the work that
# it has not taken starts the next one, which is paid for too.
resource "aws_cloudwatch_metric_alarm" "start_failed" {
  alarm_name          = "${local.name}-start-failed"
  alarm_description   = "Instances of ${local.name} end before they take work, and new ones are started for as long as work waits. Look at the console output of one (/var/log/cloud-init-output.log): package_url, package_sha256, extra_setup and the key's parameter are what can be wrong."
  namespace           = "Millrace"
  metric_name         = "StartFailed"
  dimensions          = { Fleet = local.name }
  statistic           = "Sum"
  period              = 1800
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "none_starts" {
  alarm_name          = "${local.name}-none-starts"
  alarm_description   = "${local.name} has wanted instances for half an hour and has none. Has spot no capacity, or the account no quota? The group's activity history says why."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 6
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]

  metric_query {
    id          = "none"
    expression  = "IF(there > 0, 0, wanted)"
    label       = "wanted, and none there"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { wanted = "GroupDesiredCapacity", there = "GroupInServiceInstances" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/AutoScaling"
        metric_name = metric_query.value
        dimensions  = { AutoScalingGroupName = aws_autoscaling_group.runner.name }
        period      = 300
        stat        = "Maximum"
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "long" {
  alarm_name          = "${local.name}-never-rests"
  alarm_description   = "${local.name} has had runners for ${var.max_busy_hours} hours without a pause. Is there so much work, or does one not end itself?"
  namespace           = "AWS/AutoScaling"
  metric_name         = "GroupInServiceInstances"
  dimensions          = { AutoScalingGroupName = aws_autoscaling_group.runner.name }
  statistic           = "Minimum"
  period              = 3600
  evaluation_periods  = var.max_busy_hours
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
