# The role that a runner's short-lived credentials are of. The function runner-api assumes it for a runner that has
# proven its key, with the runner's name, roles and architectures as tags of the session. What the role may do is
# said in terms of these tags, so the same role is a different one for each runner. Nothing of the ledger is in it.

locals {
  # All three tags, and no others: a session without them would be nobody's.
  whose_session = {
    Null = {
      "aws:RequestTag/runner"        = "false"
      "aws:RequestTag/roles"         = "false"
      "aws:RequestTag/architectures" = "false"
    }
    "ForAllValues:StringEquals" = { "aws:TagKeys" = ["runner", "roles", "architectures"] }
  }
}

resource "aws_iam_role" "runner" {
  name                 = "${var.prefix}-runner"
  description          = "What an enrolled runner may do with credentials that runner-api lends it."
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "LentByRunnerApi"
        Effect    = "Allow"
        Principal = { AWS = module.function["runner-api"].role_arn }
        Action    = ["sts:AssumeRole"]
        Condition = merge(local.whose_session, {
          # So that the account's trail names the runner.
          StringEquals = { "sts:RoleSessionName" = "$${aws:RequestTag/runner}" }
        })
      },
      {
        # A right of its own, which STS asks for without the name of the session.
        Sid       = "TaggedByRunnerApi"
        Effect    = "Allow"
        Principal = { AWS = module.function["runner-api"].role_arn }
        Action    = ["sts:TagSession"]
        Condition = local.whose_session
      },
    ]
  })
}

resource "aws_iam_role_policy" "runner" {
  name = "runner"
  role = aws_iam_role.runner.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "OwnResults"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = "${var.bucket_arn}/results/$${aws:PrincipalTag/runner}/*"
      },
      {
        # The tags hold lists, like `:build-rpm:test:`, in which the tags of the queue are looked for.
        Sid      = "OwnQueues"
        Effect   = "Allow"
        Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
        Resource = local.all_queues
        Condition = {
          StringEquals = local.own_queues
          StringLike = {
            "aws:PrincipalTag/roles"         = "*:$${aws:ResourceTag/millrace-role}:*"
            "aws:PrincipalTag/architectures" = "*:$${aws:ResourceTag/millrace-architecture}:*"
          }
        }
      },
      ], length(var.data_kms_key_arns) == 0 ? [] : [{
        Sid       = "DataKeys"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = var.data_kms_key_arns
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
    }])
  })
}
