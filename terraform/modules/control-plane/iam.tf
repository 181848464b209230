# What each function may do. Actions are named one by one, resources by ARN, and rows by their partition where a
# function needs only some. A simulator holds it: what functions were seen to do is allowed, what terraform/judges/iam
# denies is denied, and what is granted is used or has its reason there.

locals {
  read_rows  = ["dynamodb:GetItem", "dynamodb:Query"]
  write_rows = ["dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:UpdateItem"]

  # As the adapter writes them: a slash before the ledger's name, docs/reference/dynamodb.md.
  # Tasks, leases and requests: all that a runner's answer or a person's command may change. Not repositories and
  # their turns, and not who waits for whom.
  work_partitions = ["/head", "/leases", "/outbox", "/open", "/requests", "/recent", "/failed", "/dead", "/tasks", "/request/*"]

  blobs    = "${var.bucket_arn}/blobs/sha256/*"
  pointers = "${var.bucket_arn}/pointers/*"
  results  = "${var.bucket_arn}/results/*"

  all_rows = {
    sid       = "Rows"
    actions   = concat(local.read_rows, local.write_rows)
    resources = [var.table_arn]
  }
  rows_of_work = {
    sid       = "RowsOfWork"
    actions   = concat(local.read_rows, local.write_rows)
    resources = [var.table_arn]
    conditions = {
      # What is tried again is told of at the forge again.
      "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = concat(local.has_forge ? ["/planned", "/scratch", "/watched"] : [], local.work_partitions) }
      # Without it, a request that names no rows would satisfy "all of them".
      Null = { "dynamodb:LeadingKeys" = ["false"] }
    }
  }
  read_all_rows = {
    sid       = "ReadRows"
    actions   = local.read_rows
    resources = [var.table_arn]
  }
  blobs_and_pointers = {
    sid       = "BlobsAndPointers"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = [local.blobs, local.pointers]
  }
  put_blobs = {
    sid       = "Blobs"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    resources = [local.blobs]
  }
  # Without it S3 answers 403 for what is not there, where 404 is a fact that decisions need.
  list = {
    sid        = "TellMissingFromForbidden"
    actions    = ["s3:ListBucket"]
    resources  = [var.bucket_arn]
    conditions = { StringLikeIfExists = { "s3:prefix" = ["blobs/sha256/*", "pointers/*", "results/*"] } }
  }
  data_keys = length(var.data_kms_key_arns) == 0 ? [] : [{
    sid        = "DataKeys"
    actions    = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources  = var.data_kms_key_arns
    conditions = { StringEquals = { "kms:ViaService" = ["dynamodb.${var.region}.amazonaws.com", "s3.${var.region}.amazonaws.com"] } }
  }]

  # Something was planned: checks are due.
  tell_forge = !local.has_forge ? [] : [{
    sid       = "TellForge"
    actions   = ["sqs:GetQueueUrl", "sqs:SendMessage"]
    resources = values(var.system_queues.forge)
  }]

  # A token of the App that is good for git alone and ends after an hour. The others read it: the App's key they may not.
  lend_token = concat(
    !local.app_logs_in ? [] : [{
      sid       = "LendToken"
      actions   = ["ssm:PutParameter"]
      resources = [local.secret_arns["state_token"]]
    }],
    !local.app_logs_in || var.secrets_kms_key_arn == null ? [] : [{
      sid        = "EncryptToken"
      actions    = ["kms:Encrypt"]
      resources  = [var.secrets_kms_key_arn]
      conditions = { StringEquals = { "kms:EncryptionContext:PARAMETER_ARN" = [local.secret_arns["state_token"]] } }
    }],
  )

  # A message that failed is told when to come back.
  drain = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]

  # Not one by one: a role's policy has at most 10,240 characters, and an installation has nine queues for each
  # architecture. Dead-letter queues have another tag, and no queue of work is without this one. The pattern alone would
  # take in an installation whose prefix begins with this one's.
  all_queues  = ["arn:${var.partition}:sqs:${var.region}:${var.account_id}:${var.prefix}-*"]
  own_queues  = { "aws:ResourceTag/millrace-installation" = [var.prefix] }
  work_queues = { StringEquals = local.own_queues, StringLike = { "aws:ResourceTag/millrace-queue" = ["*.*"] } }
  sent_to     = { StringEquals = local.own_queues, StringLike = { "aws:ResourceTag/millrace-queue" = ["*.*", "advance", "report"] } }

  statements = {
    plan = concat([
      local.all_rows,
      local.blobs_and_pointers,
      local.list,
      {
        sid       = "DrainAdvanceAndWake"
        actions   = local.drain
        resources = concat(values(var.system_queues.advance), values(var.system_queues.wake))
      },
    ], local.tell_forge, local.data_keys)

    dispatch = concat([
      {
        sid       = "Outbox"
        actions   = ["dynamodb:DeleteItem", "dynamodb:Query"]
        resources = [var.table_arn]
        conditions = {
          "ForAllValues:StringEquals" = { "dynamodb:LeadingKeys" = ["/outbox"] }
          Null                        = { "dynamodb:LeadingKeys" = ["false"] }
        }
      },
      {
        sid       = "ReadStream"
        actions   = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
        resources = [var.stream_arn]
      },
      {
        # Lambda asks for it, and DynamoDB knows no resource for it.
        sid       = "FindStream"
        actions   = ["dynamodb:ListStreams"]
        resources = ["*"]
      },
      {
        sid        = "Send"
        actions    = ["sqs:GetQueueUrl", "sqs:SendMessage"]
        resources  = local.all_queues
        conditions = local.sent_to
      },
      {
        # Lambda does it, with the function's role.
        sid       = "GiveUp"
        actions   = ["sqs:SendMessage"]
        resources = [aws_sqs_queue.dispatch_dead.arn]
      },
    ], local.data_keys)

    runner-api = concat([
      local.rows_of_work,
      local.put_blobs,
      local.list,
      {
        # Who composes is told what the repository has now.
        sid       = "ReadPointers"
        actions   = ["s3:GetObject"]
        resources = [local.pointers]
      },
      {
        sid        = "TakeWork"
        actions    = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
        resources  = local.all_queues
        conditions = local.work_queues
      },
      {
        # A runner may have a role and an architecture that no queue is for: that it is missing is told only to who
        # may ask for it.
        sid       = "FindQueues"
        actions   = ["sqs:GetQueueUrl"]
        resources = local.all_queues
      },
      {
        sid       = "LendCredentials"
        actions   = ["sts:AssumeRole", "sts:TagSession"]
        resources = [aws_iam_role.runner.arn]
      },
    ], local.data_keys)

    collect = concat([
      {
        # A result ends a task and its lease.
        sid       = "RowsOfResults"
        actions   = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:UpdateItem"]
        resources = [var.table_arn]
        conditions = {
          "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = ["/head", "/leases", "/outbox", "/request/*"] }
          Null                      = { "dynamodb:LeadingKeys" = ["false"] }
        }
      },
      local.put_blobs,
      {
        sid       = "TakeIn"
        actions   = ["s3:GetObject"]
        resources = [local.results]
      },
      {
        # What a repository has now says what a compose need not have uploaded.
        sid       = "ReadPointers"
        actions   = ["s3:GetObject"]
        resources = [local.pointers]
      },
      local.list,
      {
        sid       = "DrainResults"
        actions   = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
        resources = values(var.system_queues.results)
      },
    ], local.data_keys)

    report = concat([
      local.read_all_rows,
      {
        sid       = "RowsOfTheBranch"
        actions   = local.write_rows
        resources = [var.table_arn]
        conditions = {
          "ForAllValues:StringEquals" = { "dynamodb:LeadingKeys" = ["/budgets", "/head", "/dead"] }
          Null                        = { "dynamodb:LeadingKeys" = ["false"] }
        }
      },
      local.put_blobs,
      local.list,
      {
        sid       = "DrainReport"
        actions   = local.drain
        resources = values(var.system_queues.report)
      },
      {
        # An answer that waits until pushes are few enough again.
        sid       = "ReportLater"
        actions   = ["sqs:SendMessage"]
        resources = values(var.system_queues.report)
      },
    ], local.data_keys)

    sweep = concat([
      local.all_rows,
      local.blobs_and_pointers,
      {
        # What was handed in and told to nobody, before its lease is ended.
        sid       = "FindResults"
        actions   = ["s3:GetObject"]
        resources = [local.results]
      },
      local.list,
      {
        # Orphans, once a day: the versions that were seen to be old, and none that came since (ADR 0015).
        sid       = "Prune"
        actions   = ["s3:AbortMultipartUpload", "s3:DeleteObjectVersion"]
        resources = [local.blobs]
      },
      {
        sid        = "FindVersions"
        actions    = ["s3:ListBucketVersions"]
        resources  = [var.bucket_arn]
        conditions = { StringLike = { "s3:prefix" = ["blobs/sha256/*"] } }
      },
      {
        sid        = "SendAgain"
        actions    = ["sqs:GetQueueUrl", "sqs:SendMessage"]
        resources  = local.all_queues
        conditions = local.sent_to
      },
      {
        # Of a queue whose task waits for long.
        sid        = "Depths"
        actions    = ["sqs:GetQueueAttributes"]
        resources  = local.all_queues
        conditions = local.work_queues
      },
    ], local.data_keys)

    forge = concat([
      local.read_all_rows,
      {
        # What was said, and what was asked for: to try again or to stop is what a person's command does.
        sid       = "RowsOfTheForge"
        actions   = local.write_rows
        resources = [var.table_arn]
        conditions = {
          "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = concat(["/asked", "/budgets", "/durations", "/planned", "/pulls", "/scratch", "/waiters/*", "/watched"], local.work_partitions) }
          Null                      = { "dynamodb:LeadingKeys" = ["false"] }
        }
      },
      {
        # A plan says when a repository is moved or taken away that clients know.
        sid       = "ReadPointers"
        actions   = ["s3:GetObject"]
        resources = [local.pointers]
      },
      local.list,
      {
        sid       = "DrainForge"
        actions   = local.drain
        resources = values(var.system_queues.forge)
      },
    ], local.lend_token, local.data_keys)

    read-api = concat([
      local.read_all_rows,
      {
        sid       = "ReadFiles"
        actions   = ["s3:GetObject"]
        resources = [local.blobs, local.pointers]
      },
      local.list,
      {
        sid        = "Depths"
        actions    = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
        resources  = local.all_queues
        conditions = local.work_queues
      },
    ], local.data_keys)
  }
}
