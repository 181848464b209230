mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = {
      arn = "arn:aws:iam::123456789012:role/some"
    }
  }

  mock_resource "aws_apigatewayv2_api" {
    defaults = {
      api_endpoint  = "https://a1.execute-api.eu-central-1.amazonaws.com"
      execution_arn = "arn:aws:execute-api:eu-central-1:123456789012:a1"
    }
  }
}

variables {
  prefix             = "millrace"
  account_id         = "123456789012"
  region             = "eu-central-1"
  packages_directory = "../../fixtures/functions"
  table_name         = "millrace-ledger"
  table_arn          = "arn:aws:dynamodb:eu-central-1:123456789012:table/millrace-ledger"
  stream_arn         = "arn:aws:dynamodb:eu-central-1:123456789012:table/millrace-ledger/stream/2026"
  bucket_name        = "millrace-artifacts"
  bucket_arn         = "arn:aws:s3:::millrace-artifacts"
  system_queues = {
    advance = { normal = "arn:aws:sqs:eu-central-1:123456789012:millrace-advance-normal" }
    report  = { normal = "arn:aws:sqs:eu-central-1:123456789012:millrace-report-normal" }
    wake    = { normal = "arn:aws:sqs:eu-central-1:123456789012:millrace-wake-normal" }
    results = { normal = "arn:aws:sqs:eu-central-1:123456789012:millrace-results-normal" }
    forge   = { normal = "arn:aws:sqs:eu-central-1:123456789012:millrace-forge-normal" }
  }
  state_repository = { url = "https://git.example.org/state.git" }
  secret_parameters = {
    webhook_secret = "/millrace/secrets/webhook"
    state_token    = "/millrace/secrets/state-token"
    admin_token    = "/millrace/secrets/admin-token"
    forge_token    = "/millrace/secrets/forge-token"
  }
  alarm_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "policies" {
  command = apply

  assert {
    condition     = toset(keys(output.role_arns)) == toset(["plan", "dispatch", "runner-api", "collect", "report", "sweep", "read-api"])
    error_message = "Each function has a role of its own."
  }
  assert {
    condition     = alltrue(flatten([for policy in values(output.policies) : [for statement in jsondecode(policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]]]))
    error_message = "No action is a wildcard."
  }
  # DynamoDB knows no resource for ListStreams; everything else is by ARN.
  assert {
    condition     = toset(flatten([for name, policy in output.policies : [for statement in jsondecode(policy).Statement : statement.Sid if contains(flatten([statement.Resource]), "*")]])) == toset(["FindStream"])
    error_message = "Resources are by ARN."
  }
  assert {
    condition     = !strcontains(output.policies["runner"], "dynamodb:") && !strcontains(output.policies["runner"], "kms:") && !strcontains(output.policies["runner"], "ssm:")
    error_message = "A runner has nothing of the ledger, of keys or of secrets."
  }
  assert {
    condition = {
      for name in ["plan", "report"] : name => join(" ", flatten([
        for statement in jsondecode(output.policies[name]).Statement : statement.Resource if contains(statement.Action, "sqs:ChangeMessageVisibility")
      ]))
      } == {
      plan   = "${var.system_queues.advance.normal} ${var.system_queues.wake.normal}"
      report = var.system_queues.report.normal
    }
    error_message = "Plan and report say when a message comes back, on their own queues."
  }
  assert {
    condition     = alltrue([for policy in values(output.policies) : length(policy) < 10240])
    error_message = "A role takes policies of 10,240 characters."
  }
  assert {
    condition = alltrue(flatten([for policy in values(output.policies) : [
      for statement in jsondecode(policy).Statement :
      statement.Sid == "FindQueues" || join("", try(statement.Condition.StringEquals["aws:ResourceTag/millrace-installation"], [])) == "millrace"
      if contains(flatten([statement.Resource]), "arn:aws:sqs:eu-central-1:123456789012:millrace-*")
    ]]))
    error_message = "Queues are named by their tags, so that no policy grows with the architectures, and are those of this installation."
  }
  assert {
    condition = {
      for name, sid in { dispatch = "Send", sweep = "SendAgain", runner-api = "TakeWork", read-api = "Depths" } : name => one([
        for statement in jsondecode(output.policies[name]).Statement : join(" ", statement.Condition.StringLike["aws:ResourceTag/millrace-queue"]) if statement.Sid == sid
      ])
    } == { dispatch = "*.* advance report", sweep = "*.* advance report", runner-api = "*.*", read-api = "*.*" }
    error_message = "Who sends, sends work, advances and reports; who takes, takes work."
  }
  assert {
    condition     = alltrue([for policy in values(output.policies) : !strcontains(policy, "forge-token")])
    error_message = "No function reads the token that none uses."
  }
  assert {
    condition     = !strcontains(output.policies["dispatch"], "s3:")
    error_message = "Dispatch has nothing of the artifacts."
  }
  assert {
    condition     = alltrue([for name, policy in output.policies : !strcontains(policy, "kms:")])
    error_message = "No function touches a key."
  }
  assert {
    condition     = strcontains(output.policies["runner"], "results/$${aws:PrincipalTag/runner}/*") && !strcontains(output.policies["runner"], "s3:GetObject")
    error_message = "A runner hands in below its session's name, and reads nothing there."
  }
}

run "lending" {
  command = apply

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role.runner.assume_role_policy).Statement :
      join(" ", statement.Action) => join(" ", keys(statement.Condition))
      } == {
      "sts:AssumeRole" = "ForAllValues:StringEquals Null StringEquals"
      "sts:TagSession" = "ForAllValues:StringEquals Null"
    }
    error_message = "Both rights want the three tags; the session's name is known to the first alone."
  }
}

run "starting" {
  command = apply

  assert {
    condition     = alltrue([for mapping in aws_lambda_event_source_mapping.queue : mapping.function_response_types == toset(["ReportBatchItemFailures"]) && mapping.scaling_config[0].maximum_concurrency == 2])
    error_message = "A message that fails comes back alone."
  }
  assert {
    condition     = jsondecode(one(aws_lambda_event_source_mapping.outbox.filter_criteria[0].filter).pattern).dynamodb.Keys.pk.S == ["/outbox"]
    error_message = "Only the outbox starts dispatch."
  }
  assert {
    condition     = length(aws_lambda_event_source_mapping.outbox.destination_config[0].on_failure) == 1
    error_message = "What dispatch gives up is kept."
  }
  assert {
    condition     = aws_scheduler_schedule.sweep.schedule_expression == "rate(1 minute)"
    error_message = "The sweep looks each minute."
  }
  assert {
    condition     = length(jsonencode(output.installation)) < 4096 && aws_ssm_parameter.configuration.type == "String"
    error_message = "The document fits into a parameter that costs nothing."
  }
}

run "alarms" {
  command = apply

  assert {
    condition     = toset([for filter in aws_cloudwatch_log_metric_filter.failures : "${filter.log_group_name} ${filter.metric_transformation[0].name}"]) == toset([for name in ["collect", "plan", "report", "sweep"] : "/aws/lambda/millrace-${name} ${aws_cloudwatch_metric_alarm.failures.metric_name}"])
    error_message = "What fails and is tried again is counted by the logs."
  }
  assert {
    condition     = one([for query in aws_cloudwatch_metric_alarm.sweep_silent.metric_query : query.expression if query.return_data == true]) == "FILL(invocations, 0) - FILL(errors, 0)" && aws_cloudwatch_metric_alarm.sweep_silent.treat_missing_data == "breaching"
    error_message = "A sweep that times out each minute is a silent one."
  }
  assert {
    condition     = aws_cloudwatch_log_metric_filter.pruned.metric_transformation[0].name == aws_cloudwatch_metric_alarm.prune_silent.metric_name && strcontains(file("../../../functions/src/bin/sweep.rs"), "\"pruned\"")
    error_message = "Two days without a prune ring."
  }
}

run "with_a_forge" {
  command = apply

  variables {
    state_repository = { url = "https://github.com/acme/state.git", forge = "github", forge_app = 7 }
  }

  assert {
    condition     = toset([for name, policy in output.policies : name if strcontains(policy, "forge-token")]) == toset(["forge"])
    error_message = "The forge's token is one function's alone."
  }
  assert {
    condition     = toset([for name, policy in output.policies : name if strcontains(policy, "ssm:PutParameter")]) == toset(["forge"]) && output.installation.state_repository.app_logs_in
    error_message = "The App's token for git is written by one function, and the others are told."
  }
  assert {
    condition = toset([
      for name, policy in output.policies : name
      if anytrue([for statement in jsondecode(policy).Statement : contains(flatten([statement.Action]), "sqs:SendMessage") && contains(flatten([statement.Resource]), var.system_queues.forge.normal)])
    ]) == toset(["plan"])
    error_message = "Of these, plan alone says that checks are due."
  }
  assert {
    condition     = !strcontains(output.policies["forge"], "s3:Put") && !strcontains(output.policies["forge"], "/repository")
    error_message = "Whoever talks to the forge writes no files, and publishes nothing."
  }
  assert {
    condition     = jsonencode(output.installation.forge) == jsonencode({ kind = "github", api = null, repository = null, app = 7 })
    error_message = "Functions are told of the forge as they read it."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.queue["forge-normal"].function_response_types == toset(["ReportBatchItemFailures"]) && aws_scheduler_schedule.forge["forge"].schedule_expression == "rate(1 minute)"
    error_message = "It is started by what is told, and looks each minute."
  }
  assert {
    condition     = keys(aws_cloudwatch_log_metric_filter.failures) == ["collect", "forge", "plan", "report", "sweep"]
    error_message = "What fails at the forge is counted."
  }
}

run "the_apps_token_is_encrypted_with_the_key_of_secrets" {
  command = apply

  variables {
    state_repository    = { url = "https://github.com/acme/state.git", forge = "github", forge_app = 7 }
    secrets_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
  }

  assert {
    condition     = one([for statement in jsondecode(output.policies["forge"]).Statement : jsonencode(statement.Condition.StringEquals) if statement.Sid == "EncryptToken"]) == jsonencode({ "kms:EncryptionContext:PARAMETER_ARN" = ["arn:aws:ssm:eu-central-1:123456789012:parameter/millrace/secrets/state-token"] })
    error_message = "The key encrypts this parameter, and no other."
  }
  assert {
    condition     = output.installation.secrets_key_arn == "arn:aws:kms:eu-central-1:123456789012:key/1"
    error_message = "Whoever writes a secret knows its key."
  }
}

run "a_gitea_lends_no_token" {
  command = apply

  variables {
    state_repository = { url = "https://git.example.org/acme/state.git", forge = "gitea", forge_api = "https://git.example.org/api/v1" }
  }

  assert {
    condition     = alltrue([for policy in values(output.policies) : !strcontains(policy, "ssm:PutParameter")]) && !output.installation.state_repository.app_logs_in
    error_message = "People write the login down, and no function may change it."
  }
}

run "a_forge_without_its_queue_is_refused" {
  command = plan

  variables {
    state_repository = { url = "https://github.com/acme/state.git", forge = "github", forge_app = 7 }
    system_queues = {
      advance = { normal = "arn:aws:sqs:eu-central-1:123456789012:millrace-advance-normal" }
      report  = { normal = "arn:aws:sqs:eu-central-1:123456789012:millrace-report-normal" }
      wake    = { normal = "arn:aws:sqs:eu-central-1:123456789012:millrace-wake-normal" }
      results = { normal = "arn:aws:sqs:eu-central-1:123456789012:millrace-results-normal" }
    }
  }

  expect_failures = [var.system_queues]
}

run "checks_without_an_app_are_refused" {
  command = plan

  variables {
    state_repository = { url = "https://github.com/acme/state.git", forge = "github" }
  }

  expect_failures = [var.state_repository]
}

run "an_app_at_a_gitea_is_refused" {
  command = plan

  variables {
    state_repository = { url = "https://git.example.org/acme/state.git", forge = "gitea", forge_api = "https://git.example.org/api/v1", forge_app = 7 }
  }

  expect_failures = [var.state_repository]
}

run "a_gitea_that_is_nowhere_is_refused" {
  command = plan

  variables {
    state_repository = { url = "https://git.example.org/acme/state.git", forge = "gitea" }
  }

  expect_failures = [var.state_repository]
}

run "an_api_with_a_password_is_refused" {
  command = plan

  variables {
    state_repository = { url = "https://git.example.org/acme/state.git", forge = "gitea", forge_api = "https://me:secret@git.example.org/api/v1" }
  }

  expect_failures = [var.state_repository]
}

run "a_repository_that_has_no_owner_is_refused" {
  command = plan

  variables {
    state_repository = { url = "https://git.example.org/state.git", forge = "gitea", forge_api = "https://git.example.org/api/v1" }
  }

  expect_failures = [var.state_repository]
}

run "words_about_no_forge_are_refused" {
  command = plan

  variables {
    state_repository = { url = "https://git.example.org/acme/state.git", forge_app = 7 }
  }

  expect_failures = [var.state_repository]
}

run "two_who_write_checks_are_refused" {
  command = plan

  variables {
    forge_concurrency = 2
  }

  expect_failures = [var.forge_concurrency]
}

run "a_token_in_the_url_is_refused" {
  command = plan

  variables {
    state_repository = { url = "https://me:secret@git.example.org/state.git" }
  }

  expect_failures = [var.state_repository]
}
