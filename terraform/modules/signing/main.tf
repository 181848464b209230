# Signing keys that never leave KMS, and the one role that signs with them.

locals {
  algorithms = {
    ECC_NIST_EDWARDS25519 = ["ED25519_SHA_512"]
    RSA_4096              = ["RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_512"]
  }

  account_root = "arn:${var.partition}:iam::${var.account_id}:root"
}

resource "aws_iam_role" "signer" {
  name        = "${var.prefix}-signer"
  description = "Signs with the keys of ${var.prefix}, and can do nothing else."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "Instances"
        Effect    = "Allow"
        Principal = { Service = "ec2.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
      ], length(var.signer_principal_arns) == 0 ? [] : [{
        Sid       = "Elsewhere"
        Effect    = "Allow"
        Principal = { AWS = var.signer_principal_arns }
        Action    = "sts:AssumeRole"
    }])
  })
}

resource "aws_iam_instance_profile" "signer" {
  name = "${var.prefix}-signer"
  role = aws_iam_role.signer.name
}

resource "aws_iam_role_policy" "signer" {
  name = "sign"
  role = aws_iam_role.signer.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Sign"
        Effect   = "Allow"
        Action   = ["kms:Sign"]
        Resource = [for key in aws_kms_key.signing : key.arn]
        Condition = {
          StringEquals = { "kms:SigningAlgorithm" = distinct(flatten([for spec in values(var.keys) : local.algorithms[spec]])) }
        }
      },
      {
        Sid      = "ReadPublicHalves"
        Effect   = "Allow"
        Action   = ["kms:GetPublicKey", "kms:DescribeKey"]
        Resource = [for key in aws_kms_key.signing : key.arn]
      },
    ]
  })
}

resource "aws_kms_key" "signing" {
  for_each = var.keys

  description              = "Millrace ${var.prefix}: signs the repositories with key ${each.key}."
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = each.value
  deletion_window_in_days  = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Administer"
        Effect    = "Allow"
        Principal = { AWS = coalescelist(var.administrator_arns, [local.account_root]) }
        Action = [
          "kms:CancelKeyDeletion",
          "kms:CreateAlias",
          "kms:DeleteAlias",
          "kms:DescribeKey",
          "kms:DisableKey",
          "kms:EnableKey",
          "kms:GetKeyPolicy",
          "kms:GetKeyRotationStatus",
          "kms:GetPublicKey",
          "kms:ListAliases",
          "kms:ListGrants",
          "kms:ListKeyPolicies",
          "kms:ListResourceTags",
          "kms:PutKeyPolicy",
          "kms:RevokeGrant",
          "kms:ScheduleKeyDeletion",
          "kms:TagResource",
          "kms:UntagResource",
          "kms:UpdateAlias",
          "kms:UpdateKeyDescription",
        ]
        Resource = "*"
      },
      {
        Sid       = "Sign"
        Effect    = "Allow"
        Principal = { AWS = aws_iam_role.signer.arn }
        Action    = ["kms:Sign"]
        Resource  = "*"
        # A key's policy grants by itself, whatever the role's policy says, so the condition stands here too.
        Condition = { StringEquals = { "kms:SigningAlgorithm" = local.algorithms[each.value] } }
      },
      {
        Sid       = "ReadPublicHalf"
        Effect    = "Allow"
        Principal = { AWS = aws_iam_role.signer.arn }
        Action    = ["kms:GetPublicKey", "kms:DescribeKey"]
        Resource  = "*"
      },
      {
        # Whatever any policy of the account says: nobody but the signer.
        Sid       = "NobodyElseSigns"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["kms:Sign", "kms:CreateGrant"]
        Resource  = "*"
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = aws_iam_role.signer.arn } }
      },
    ]
  })

  tags = {
    millrace-key = each.key
  }

  # Clients trust this key. A new one means that every client has to be told.
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "signing" {
  for_each = var.keys

  name          = "alias/${var.prefix}-${each.key}"
  target_key_id = aws_kms_key.signing[each.key].key_id
}

# A key that is to be deleted or disabled is heard of at once: thirty days later it is too late.
resource "aws_cloudwatch_event_rule" "key_ends" {
  name        = "${var.prefix}-signing-key-ends"
  description = "Somebody schedules the deletion of a signing key, disables it, or changes who may use it."

  event_pattern = jsonencode({
    source      = ["aws.kms"]
    detail-type = ["AWS API Call via CloudTrail"]
    detail = {
      eventName = ["ScheduleKeyDeletion", "DisableKey", "PutKeyPolicy"]
      resources = { ARN = [for key in aws_kms_key.signing : key.arn] }
    }
  })
}

resource "aws_cloudwatch_event_target" "key_ends" {
  rule = aws_cloudwatch_event_rule.key_ends.name
  arn  = var.alarm_topic_arn
}
