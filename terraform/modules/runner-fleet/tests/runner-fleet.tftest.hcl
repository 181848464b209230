mock_provider "aws" {
  mock_resource "aws_launch_template" {
    defaults = {
      id = "lt-1"
    }
  }

  mock_data "aws_default_tags" {
    defaults = {
      tags = { project = "millrace" }
    }
  }
}

variables {
  prefix         = "millrace"
  account_id     = "123456789012"
  region         = "eu-central-1"
  name           = "x86"
  architecture   = "x86_64"
  instance_types = ["c7i.xlarge", "m7i.xlarge"]
  queues = {
    "test.amd64" = [
      { arn = "arn:aws:sqs:eu-central-1:123456789012:millrace-test-amd64-urgent", name = "millrace-test-amd64-urgent", role = "test", architecture = "amd64", priority = "urgent" },
      { arn = "arn:aws:sqs:eu-central-1:123456789012:millrace-test-amd64-normal", name = "millrace-test-amd64-normal", role = "test", architecture = "amd64", priority = "normal" },
    ]
  }
  bucket_arn      = "arn:aws:s3:::millrace-artifacts"
  control_url     = "https://api.example.org"
  key_parameter   = "/millrace/runners/x86"
  package_url     = "https://example.org/runner.rpm"
  package_sha256  = "0000000000000000000000000000000000000000000000000000000000000000"
  ami_id          = "ami-0123456789abcdef0"
  vpc_id          = "vpc-1"
  subnet_ids      = ["subnet-1"]
  alarm_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "from_zero_and_back" {
  command = apply

  assert {
    condition     = aws_autoscaling_group.runner.min_size == 0 && aws_autoscaling_group.runner.protect_from_scale_in
    error_message = "There is none while there is no work, and none is ended from outside."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.work_waits["test.amd64"].alarm_actions == toset([aws_autoscaling_policy.start.arn])
    error_message = "A queue's age starts one."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.work_waits : alarm.evaluation_periods == 5 && alarm.datapoints_to_alarm == 1])
    error_message = "A minute without a number does not hide that work waits."
  }
  assert {
    condition     = length(aws_autoscaling_group.runner.initial_lifecycle_hook) == 0 && aws_autoscaling_lifecycle_hook.drain.heartbeat_timeout == 150 && strcontains(local.user_data, "--lifecycle-hook-name ${aws_autoscaling_lifecycle_hook.drain.name}") && strcontains(local.user_data, "TimeoutStopSec=90")
    error_message = "How long an instance drains can be changed without a new group."
  }
  assert {
    condition     = aws_autoscaling_group.runner.suspended_processes == toset(["AZRebalance"])
    error_message = "No zone takes instances from another."
  }
  assert {
    condition     = aws_autoscaling_group.runner.mixed_instances_policy[0].instances_distribution[0].spot_allocation_strategy == "capacity-optimized-prioritized"
    error_message = "The best type comes first."
  }
  assert {
    condition = alltrue(concat(
      [for tags in aws_launch_template.runner.tag_specifications : tags.tags["project"] == "millrace" && tags.tags["millrace-fleet"] == "x86"],
      [contains([for tag in aws_autoscaling_group.runner.tag : "${tag.key} ${tag.value} ${tag.propagate_at_launch}"], "project millrace true")],
    ))
    error_message = "Instances and volumes have the tags of everything, by which the bill is read."
  }
  assert {
    condition     = strcontains(local.user_data, "terminate-instance-in-auto-scaling-group --should-decrement-desired-capacity") && strcontains(local.user_data, "--role test")
    error_message = "A runner that is idle ends itself."
  }
}

run "an_instance_that_does_not_come_up_is_told_of" {
  command = apply

  assert {
    condition     = strcontains(local.user_data, "package=/opt/millrace/package.rpm") && strcontains(local.user_data, "case rpm in")
    error_message = "To dnf, a file is what ends in .rpm."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.start_failed.metric_name == "StartFailed" && aws_cloudwatch_metric_alarm.start_failed.dimensions == tomap({ Fleet = "millrace-x86" }) && strcontains(local.user_data, "--metric-name StartFailed --dimensions Fleet=millrace-x86")
    error_message = "Starts that fail ring."
  }
  assert {
    condition     = toset([for query in aws_cloudwatch_metric_alarm.none_starts.metric_query : query.metric[0].metric_name if length(query.metric) > 0]) == toset(["GroupDesiredCapacity", "GroupInServiceInstances"]) && aws_cloudwatch_metric_alarm.none_starts.evaluation_periods == 6
    error_message = "So does half an hour in which none comes."
  }
}

run "a_package_without_a_unit_is_refused" {
  command = plan

  variables {
    package_url = "https://example.org/runner.tar.gz"
  }

  expect_failures = [var.package_url]
}

run "closed" {
  command = apply

  assert {
    condition     = length(aws_security_group.runner.ingress) == 0 || alltrue([for rule in aws_security_group.runner.ingress : false])
    error_message = "Nobody connects to a runner."
  }
  assert {
    condition     = aws_launch_template.runner.metadata_options[0].http_tokens == "required" && aws_launch_template.runner.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "Metadata want a token, from the machine itself."
  }
  assert {
    condition     = !strcontains(output.policy, "dynamodb:") && !strcontains(output.policy, "kms:")
    error_message = "A runner has nothing of the ledger or of keys."
  }
  assert {
    condition     = alltrue(flatten([for statement in jsondecode(output.policy).Statement : [for action in statement.Action : !strcontains(action, "*")]]))
    error_message = "No action is a wildcard."
  }
}

run "the_wrong_processor_is_refused" {
  command = plan

  variables {
    instance_types = ["c7g.xlarge"]
  }

  expect_failures = [var.instance_types]
}

run "a_key_of_yours_opens_the_fleets_parameter_alone" {
  command = apply

  variables {
    secrets_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy).Statement : statement.Condition.StringEquals["kms:EncryptionContext:PARAMETER_ARN"] if statement.Sid == "DecryptKey"]) == "arn:aws:ssm:eu-central-1:123456789012:parameter/millrace/runners/x86"
    error_message = "The key opens this parameter, and no other."
  }
}

run "a_name_that_a_role_has_is_refused" {
  command = plan

  variables {
    name = "runner-api"
  }

  expect_failures = [var.name]
}

run "a_name_that_is_too_long_for_a_role_is_refused" {
  command = plan

  variables {
    prefix = "a23456789012345678901234"
    name   = "a234567890123456789012345678901234567890"
  }

  expect_failures = [var.name]
}

run "no_fleet_signs" {
  command = plan

  variables {
    queues = {
      "sign.any" = [{ arn = "arn:aws:sqs:eu-central-1:123456789012:millrace-sign-any-normal", name = "millrace-sign-any-normal", role = "sign", architecture = "any", priority = "normal" }]
    }
  }

  expect_failures = [var.queues]
}
