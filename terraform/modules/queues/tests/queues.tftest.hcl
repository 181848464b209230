mock_provider "aws" {
  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:eu-central-1:123456789012:some"
    }
  }
}

variables {
  prefix            = "millrace"
  account_id        = "123456789012"
  bucket_arn        = "arn:aws:s3:::millrace-artifacts"
  rpm_architectures = ["x86_64", "ppc64le"]
  deb_architectures = ["amd64"]
  alarm_topic_arn   = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "three_lanes_and_one_dead_letter_queue_for_each_name" {
  command = apply

  assert {
    condition = toset(keys(output.work)) == toset([
      "build-rpm.x86_64", "build-rpm.ppc64le", "test.x86_64", "test.ppc64le", "build-deb.amd64", "test.amd64", "compose.any", "sign.any",
    ])
    error_message = "Work has the names that the ledger gives it."
  }
  assert {
    condition     = aws_sqs_queue.lane["build-rpm.x86_64/urgent"].name == "millrace-build-rpm-x86_64-urgent" && aws_sqs_queue.dead["sign.any"].name == "millrace-sign-any-dead"
    error_message = "Dots become dashes, and the priority comes last."
  }
  assert {
    condition     = alltrue([for queue in aws_sqs_queue.dead : !contains(keys(queue.tags), "millrace-queue")]) && alltrue([for name, queue in aws_sqs_queue.lane : queue.tags["millrace-queue"] == split("/", name)[0] && queue.tags["millrace-installation"] == "millrace"])
    error_message = "By their tag, functions reach lanes and no dead letters."
  }
  assert {
    condition     = alltrue([for name, lanes in output.work : length(lanes) == 3])
    error_message = "Each name has three lanes."
  }
  assert {
    condition     = alltrue([for name, queue in aws_sqs_queue.lane : can(jsondecode(queue.redrive_policy).deadLetterTargetArn)])
    error_message = "Each lane has a dead-letter queue."
  }
  assert {
    condition = alltrue([
      for name, queue in aws_sqs_queue.lane :
      jsondecode(queue.redrive_policy).maxReceiveCount == lookup({ report = 1000, advance = 12, wake = 12, results = 12 }, split("/", name)[0], 100)
    ])
    error_message = "Work outlives an hour without runner-api, answers four days without a forge; the rest is dead after the control plane has told."
  }
  assert {
    condition = alltrue([
      for name in ["advance", "report", "wake", "results"] :
      aws_sqs_queue.lane["${name}/normal"].visibility_timeout_seconds == 360 && aws_cloudwatch_metric_alarm.age["${name}/normal"].threshold == 1800
    ])
    error_message = "What failed comes back in minutes, and one failure rings nowhere."
  }
  assert {
    condition     = alltrue([for queue in merge(aws_sqs_queue.lane, aws_sqs_queue.dead) : queue.sqs_managed_sse_enabled && queue.message_retention_seconds == 1209600])
    error_message = "Each queue is encrypted and keeps messages for 14 days."
  }
  assert {
    condition     = output.forge_arn == null && !contains(keys(output.system), "forge")
    error_message = "Where there is no forge, nothing waits for one."
  }
}

run "a_forge_has_a_queue_of_its_own" {
  command = apply

  variables {
    has_forge = true
  }

  assert {
    condition     = [for name in keys(aws_sqs_queue.lane) : name if startswith(name, "forge")] == ["forge/normal"] && output.forge_arn != null
    error_message = "Nobody sets a priority there."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.lane["forge/normal"].redrive_policy).maxReceiveCount == 1000 && aws_sqs_queue.dead["forge"].name == "millrace-forge-dead"
    error_message = "What people ask for outlives a forge that is away."
  }
  assert {
    condition     = strcontains(aws_cloudwatch_metric_alarm.dead["forge"].alarm_description, "Nobody sends them again")
    error_message = "The alarm says that it is moved back by hand."
  }
}

run "tls_only_and_alarms_beside_each" {
  command = apply

  assert {
    condition = alltrue([
      for policy in concat(values(aws_sqs_queue_policy.lane), values(aws_sqs_queue_policy.dead)) :
      anytrue([for statement in jsondecode(policy.policy).Statement : statement.Effect == "Deny" && statement.Condition.Bool["aws:SecureTransport"] == "false" if statement.Sid == "TlsOnly"])
    ])
    error_message = "Nothing is heard without TLS."
  }
  assert {
    condition = alltrue([
      for name, policy in aws_sqs_queue_policy.lane :
      anytrue([for statement in jsondecode(policy.policy).Statement : statement.Effect == "Allow"]) == (name == "results/normal")
    ])
    error_message = "Only the queue of results lets a service in."
  }
  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.dead) == keys(aws_sqs_queue.dead) && keys(aws_cloudwatch_metric_alarm.age) == keys(aws_sqs_queue.lane)
    error_message = "Each queue has its alarm."
  }
  assert {
    condition     = alltrue([for alarm in merge(aws_cloudwatch_metric_alarm.dead, aws_cloudwatch_metric_alarm.age) : alarm.alarm_actions == toset([var.alarm_topic_arn])])
    error_message = "Alarms ring to the topic."
  }
}

run "the_other_systems_words_are_refused" {
  command = plan

  variables {
    rpm_architectures = ["arm64"]
  }

  expect_failures = [var.rpm_architectures]
}

run "a_dead_letter_before_the_control_plane_tells_is_refused" {
  command = plan

  variables {
    function_receives = 5
  }

  expect_failures = [var.function_receives]
}
